"""The folder that `peft.PeftModel.from_pretrained(base_model, folder)` loads."""

from __future__ import annotations

import json
import shlex
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.files import JsonObject
from lorafit.interop.writers.base import (
    Writer,
    added_rows,
    refusals_unless_low_rank,
    tensors_beside_layers,
    trained_of_base,
)
from lorafit.tasks import TEMPLATES, read_task

if TYPE_CHECKING:
    from torch import Tensor

    from lorafit.adapters import Adapter, AdapterCard
    from lorafit.lora import LoRALayer
    from lorafit.models import Model


class PeftWriter(Writer):
    """A MergedLinear over k of n slices is one PEFT LoRA of rank k r: A is kept, and B [out, k r] has each slice's B in
    a block of its own, zeros elsewhere; its alpha is (alpha / r) k r, so that the scale stays."""

    name: ClassVar[str] = "peft"
    help: ClassVar[str] = "a folder that `peft.PeftModel.from_pretrained` loads"

    @override
    def refusals(self, adapter: Adapter, shape: Model) -> list[str]:
        """Other methods, and layers that PEFT would compute otherwise."""
        from lorafit import lora
        from lorafit.interop.peft_layout import refusal

        found = {name: refusal(layer) for name, layer in lora.adapted_layers(shape.net).items()}
        of_layers = [f"{name}: {reason}; use merge" for name, reason in found.items() if reason]
        whole = trained_of_base(adapter, shape)
        in_part = [
            f"{name}: trained, but not the whole of its module, which PEFT would save; use merge"
            for name in whole
            if not _is_bias(name) and not _is_whole(name, whole, shape)
        ]
        return refusals_unless_low_rank(adapter, shape, self.name) or [*of_layers, *in_part]

    @override
    def write(self, adapter: Adapter, shape: Model, target: Path) -> None:
        """The tensors and the LoraConfig that goes with them."""
        from safetensors.torch import save_file

        from lorafit import lora
        from lorafit.interop.peft_config import CONFIG_FILE, PREFIX
        from lorafit.interop.peft_layout import TENSOR_FILE
        from lorafit.models import planned_tokens

        layers = lora.filled_layers(shape.net, adapter.tensors)
        tensors, config = peft_adapter(layers)
        whole, rows = trained_of_base(adapter, shape), added_rows(adapter, shape)
        modules = {name.rpartition(".")[0] for name in whole if not _is_bias(name)}
        biases = {name.rpartition(".")[0] for name in whole if _is_bias(name)} - modules
        inside = {f"{module}.bias": f"{module}.base_layer.bias" for module in biases & layers.keys()}
        for name, tensor in tensors_beside_layers(adapter, shape).items():
            if name.removesuffix(".rows") not in rows:
                tensors[PREFIX + inside.get(name, name)] = tensor
        for table, tensor in rows.items():
            tensors[f"{PREFIX}{table}.token_adapter.trainable_tokens_delta"] = tensor
        added = planned_tokens(shape.net.config)
        heads = {shape.family.head_module(name) for name, _ in shape.head_parameters()}
        config |= {
            "bias": "all" if biases - layers.keys() else "lora_only" if biases else "none",
            "base_model_name_or_path": adapter.card.base.elsewhere,
            "revision": adapter.card.base.revision,
            "task_type": "CAUSAL_LM" if shape.output == "text" else "SEQ_CLS",
            "modules_to_save": sorted(heads | modules) or None,
        }
        if added is not None:
            ids = list(range(added.first, added.end))
            config["trainable_token_indices"] = {table.rpartition(".")[2]: ids for table in rows}
        save_file(tensors, target / TENSOR_FILE, metadata={"format": "pt"})
        (target / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @override
    def card_paragraph(self, card: AdapterCard) -> str:
        """The three lines of Python that load it."""
        base = loaded_base(card)
        tokens, template = read_task(card.task).tokens, card.task.get("template")
        room = (
            f"tokenizer = AutoTokenizer.from_pretrained({literal(card.base.elsewhere)})\n"
            f"tokenizer.add_tokens({[*tokens]}, special_tokens=True)\n"
            f"if len(tokenizer) > base.get_input_embeddings().num_embeddings:\n"
            f"    base.resize_token_embeddings(len(tokenizer))\n"
        )
        return (
            f"With peft:\n\n```python\nfrom peft import PeftModel\n"
            f"from transformers import {base.partition('.')[0]}{', AutoTokenizer' if tokens else ''}\n\n"
            f"base = {base}\n"
            f"{room if tokens else ''}"
            f'model = PeftModel.from_pretrained(base, "THIS_FOLDER")\n```\n\n'
            f"Back into an adapter folder of lorafit:\n\n```sh\n"
            f"lorafit import THIS_FOLDER OUT --format peft --base {shlex.quote(card.base.id)}"
            f"{f' --template {template}' if template in TEMPLATES else ''}\n```"
        )


def loaded_base(card: AdapterCard) -> str:
    """The base as transformers loads it, with a head for the adapter's task: an expression in Python."""
    num_outputs = read_task(card.task).num_outputs
    kind = "CausalLM" if num_outputs is None else "SequenceClassification"
    num_labels = "" if num_outputs is None else f", num_labels={num_outputs}"
    return f"AutoModelFor{kind}.from_pretrained({literal(card.base.elsewhere)}{num_labels})"


def resized(shape: Model) -> str:
    """`.resize_token_embeddings(N)` for tokens that the base has no rows for; nothing where it has them."""
    from lorafit.models import tables_with_rows

    tables = [table for _, table in tables_with_rows(shape.net) if table.num_rows > len(table.weight)]
    return f".resize_token_embeddings({tables[0].num_rows})" if tables else ""


def literal(text: object) -> str:
    """A string in Python."""
    return json.dumps(str(text), ensure_ascii=False)


def _is_bias(name: str) -> bool:
    return name.endswith(".bias")


def _is_whole(name: str, trained: Container[str], shape: Model) -> bool:
    """Whether all parameters of the module that holds this one were trained."""
    module = name.rpartition(".")[0]
    return all(f"{module}.{key}" in trained for key, _ in shape.net.get_submodule(module).named_parameters())


def peft_adapter(layers: Mapping[str, LoRALayer]) -> tuple[dict[str, Tensor], JsonObject]:
    """The adapters of named layers in PEFT's names and layout, and the LoraConfig that goes with them.

    Rank and alpha of the first layer hold for all, patterns say those that differ.
    """
    from lorafit.interop.peft_config import PREFIX
    from lorafit.interop.peft_layout import MAGNITUDE, to_peft

    tensors = {
        f"{PREFIX}{name}.{key}": tensor
        for name, layer in layers.items()
        for key, tensor in to_peft(layer).items()
    }
    ranks = {name: len(layer.lora_A) for name, layer in layers.items()}
    alphas = {name: layer.scaling * ranks[name] for name, layer in layers.items()}
    first = next(iter(layers))
    config: JsonObject = {
        "peft_type": "LORA",
        "target_modules": sorted(layers),
        "r": ranks[first],
        "lora_alpha": alphas[first],
        "lora_dropout": layers[first].lora_dropout.p,
        "fan_in_fan_out": any(getattr(layer, "fan_in_fan_out", False) for layer in layers.values()),
        "rank_pattern": {name: rank for name, rank in ranks.items() if rank != ranks[first]},
        "alpha_pattern": {name: alpha for name, alpha in alphas.items() if alpha != alphas[first]},
        "inference_mode": True,
    }
    if f"{PREFIX}{first}.{MAGNITUDE}" in tensors:
        config["use_dora"] = True
    return tensors, config
