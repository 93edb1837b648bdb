"""vLLM's limits, as of 0.32 (`vllm/lora/peft_helper.py`, `vllm/config/lora.py`, `vllm/lora/utils.py`, and which of
`vllm/model_executor/models` support LoRA)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.interop.programs.base import Program, ranks_in_peft, shown_ranks
from lorafit.interop.writers.base import trained_of_base
from lorafit.tasks import read_task

if TYPE_CHECKING:
    from lorafit.adapters import Adapter
    from lorafit.models import Model

MAX_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
HEAD = "score.weight"  # the one kind of head that an adapter may bring

_BOTH = ("embed_tokens", "lm_head")
EMBEDDINGS: Mapping[str, tuple[str, ...]] = {
    "gemma": (),
    "gemma2": (),
    "gemma3_text": (),
    "gpt_neox": (),
    "granite": _BOTH,
    "llama": _BOTH,
    "mistral": (),
    "olmo2": ("embed_tokens",),
    "phi3": _BOTH,
    "qwen2": (),
    "qwen3": _BOTH,
    "smollm3": ("embed_tokens",),
}
"""The architectures that serve adapters -> the modules beside linear layers that may have one (`embedding_modules`)."""


class Vllm(Program):
    """Many adapters on one base, each by its own name."""

    name: ClassVar[str] = "vllm"
    help: ClassVar[str] = "a server"
    format: ClassVar[str] = "peft"

    @override
    def refusals(self, adapter: Adapter, shape: Model) -> list[str]:
        """By architecture, rank, module, and what was trained whole."""
        from lorafit import lora
        from lorafit.models import planned_tokens

        kind = shape.family.model_type
        if kind not in EMBEDDINGS:
            return [f"serves no adapters of a {kind}"]
        ranks = ranks_in_peft(shape)
        largest = max(ranks.values(), default=0)
        reasons = (
            [f"has rank {largest}; at most {MAX_LORA_RANKS[-1]}"] if largest > MAX_LORA_RANKS[-1] else []
        )
        if len({layer.scaling for layer in lora.lora_layers(shape.net)}) > 1:
            reasons.append("has one alpha / r for all modules, and these have several")
        if any(
            layer.adapter_parameters().keys() > {"lora_A", "lora_B"} for layer in lora.lora_layers(shape.net)
        ):
            reasons.append("computes no DoRA")
        tied = bool(shape.family.text_config(shape.net.config).tie_word_embeddings)
        embeddings = {shape.net.get_input_embeddings(), shape.net.get_output_embeddings()}
        for name in ranks:
            is_embedding = shape.net.get_submodule(name) in embeddings
            if is_embedding and (tied or name.rpartition(".")[2] not in EMBEDDINGS[kind]):
                reasons.append(f"adapts no {name}" + (" that is tied" if tied else ""))
        if (added := planned_tokens(shape.net.config)) is not None:
            reasons.append(f"has no place for tokens that the base lacks, here {' and '.join(added.tokens)}")
        whole = [*trained_of_base(adapter, shape)]
        whole += [name for name, _ in shape.head_parameters() if name != HEAD]
        return reasons + [f"takes no {name} that was trained whole" for name in whole]

    @override
    def summary(self, adapter: Adapter, shape: Model) -> str:
        """Rank and architecture."""
        del adapter
        return f"{shown_ranks(shape)} of at most {MAX_LORA_RANKS[-1]} on a {shape.family.model_type}"

    @override
    def command(self, adapter: Adapter, shape: Model, folder: Path) -> str:
        """With room for the rank; a classifier is a pooling model with as many labels."""
        largest = max(ranks_in_peft(shape).values())
        rank = next(allowed for allowed in MAX_LORA_RANKS if allowed >= largest)
        words = ["vllm", "serve", adapter.card.base.elsewhere, "--enable-lora", "--max-lora-rank", str(rank)]
        if num_labels := read_task(adapter.card.task).num_outputs:
            labels = json.dumps({"architectures": [type(shape.net).__name__], "num_labels": num_labels})
            words += ["--runner", "pooling", "--convert", "classify", "--hf-overrides", labels]
        module = f"{folder.name}={folder}"
        if module.count("=") > 1 or "," in module:  # which vLLM splits at
            module = json.dumps({"name": folder.name, "path": str(folder)})
        return shlex.join([*words, "--lora-modules", module])
