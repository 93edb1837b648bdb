"""PEFT's adapter folder: `adapter_config.json` and `adapter_model.safetensors`."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lorafit import lora
from lorafit.adapters import Adapter
from lorafit.errors import AdapterError, DamagedError, NotFoundError
from lorafit.interop.base import (
    Factors,
    Foreign,
    Format,
    Slices,
    adapted_layers,
    other_tensors,
    refuse_unless_lora,
)
from lorafit.interop.peft_layout import from_peft, to_peft
from lorafit.models import Model

CONFIG_FILE, TENSOR_FILE, PICKLE_FILE = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
_PREFIX = "base_model.model."
_FACTOR = re.compile(r"(.+)\.lora_(embedding_)?([AB])(\.default)?(\.weight)?")
_SAVED = re.compile(r"\.modules_to_save(\.default)?\.")

# Settings of PEFT's LoraConfig that change the function in a way that LoRA as such cannot express.
_REFUSED = (
    "use_dora",
    "lora_bias",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
)


class Peft(Format):
    """A MergedLinear over k of n slices is one PEFT LoRA of rank k r: A is kept, and B [out, k r] has each slice's B in
    a block of its own, zeros elsewhere; its alpha is (alpha / r) k r, so that the scale stays."""

    name = "peft"
    holds_alpha = True

    def write(self, adapter: Adapter, shape: Model, base: str, revision: str | None, folder: Path) -> None:
        """The two files that `peft.PeftModel.from_pretrained(base_model, folder)` loads."""
        refuse_unless_lora(adapter, self.name)
        layers = adapted_layers(shape)
        tensors, config = peft_adapter(layers, adapter.tensors, adapter.card.method["dropout"])
        tensors |= {_PREFIX + name: tensor for name, tensor in other_tensors(adapter, layers).items()}
        heads = {shape.family.head_module(name) for name, _ in shape.head_parameters()}
        config |= {
            "base_model_name_or_path": base,
            "revision": revision,
            "task_type": "CAUSAL_LM" if shape.output == "text" else "SEQ_CLS",
            "modules_to_save": sorted(heads) or None,
        }
        safetensors.torch.save_file(tensors, folder / TENSOR_FILE, metadata={"format": "pt"})
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def read(self, path: Path) -> Foreign:
        """A PEFT folder, or its tensor file with the config beside it."""
        folder = path if path.is_dir() else path.parent
        config = _read_config(folder / CONFIG_FILE)
        pairs: dict[str, dict[str, Tensor]] = {}
        others = {}
        for key, tensor in _read_tensors(folder).items():
            name = key.removeprefix(_PREFIX)
            if match := _FACTOR.fullmatch(name):
                pairs.setdefault(match[1], {})[match[3]] = tensor.float()
            else:
                others[_SAVED.sub(".", name)] = tensor.float()
        whole = {name: (pair["A"], pair["B"]) for name, pair in pairs.items() if pair.keys() == {"A", "B"}}
        if half := sorted(pairs.keys() - whole.keys()):
            raise DamagedError(f"{folder}: {half[0]!r} has only one of its two factors")
        scales = {name: _scale(config, name, a.shape[0]) for name, (a, _) in whole.items()}
        dropout, base = config.get("lora_dropout", 0.0), config.get("base_model_name_or_path")
        return Foreign(folder, whole, others, scales, dropout, base)

    def factors(self, foreign: Foreign, name: str, module: nn.Module, slices: Slices) -> Factors:
        """Out of PEFT's layout."""
        a, b = foreign.pairs[name]
        try:
            return from_peft(a, b, module, slices.count, foreign.scales[name])
        except ValueError as error:
            raise AdapterError(f"{foreign.path}: {name!r}: {error}") from None


def peft_adapter(
    layers: dict[str, lora.LoRALayer], tensors: dict[str, Tensor], dropout: float
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The LoRA tensors of named layers in PEFT's names and layout, and the LoraConfig that goes with them.

    Rank and alpha of the first layer hold for all, patterns say those that differ.
    Raises AdapterError for a layer that PEFT would compute otherwise.
    """
    renamed: dict[str, Tensor] = {}
    ranks, alphas = {}, {}
    for name, layer in layers.items():
        try:
            a, b = to_peft(layer, tensors[f"{name}.lora_A"], tensors[f"{name}.lora_B"])
        except ValueError as error:
            raise AdapterError(f"{name}: {error}; use merge") from None
        ranks[name], alphas[name] = a.shape[0], layer.scaling * a.shape[0]
        if isinstance(layer, lora.Embedding):
            renamed |= {f"{_PREFIX}{name}.lora_embedding_A": a, f"{_PREFIX}{name}.lora_embedding_B": b}
        else:
            renamed |= {f"{_PREFIX}{name}.lora_A.weight": a, f"{_PREFIX}{name}.lora_B.weight": b}
    r, alpha = next(iter(ranks.values())), next(iter(alphas.values()))
    config = {
        "peft_type": "LORA",
        "target_modules": sorted(layers),
        "r": r,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "bias": "none",
        "fan_in_fan_out": any(getattr(layer, "fan_in_fan_out", False) for layer in layers.values()),
        "rank_pattern": {name: rank for name, rank in ranks.items() if rank != r},
        "alpha_pattern": {name: value for name, value in alphas.items() if value != alpha},
        "inference_mode": True,
    }
    return renamed, config


def _scale(config: dict[str, Any], name: str, rank: int) -> float:
    """alpha / rank, or alpha / sqrt(rank) where it is rank-stabilised; a pattern matches the end of a module's name."""
    alpha = config["lora_alpha"]
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", name):
            alpha = value
            break
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise NotFoundError(f"{path.parent}: no {CONFIG_FILE} there, so it is not a PEFT adapter")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind, alpha = config["peft_type"], config["lora_alpha"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{path}: not a LoRA configuration of PEFT: {error}") from None
    if kind != "LORA" or not isinstance(alpha, int | float):
        raise AdapterError(f"{path}: peft_type {kind!r}, lora_alpha {alpha!r}: only LoRA can be imported")
    refused = [key for key in _REFUSED if config.get(key)]
    if config.get("bias", "none") != "none":
        refused.append("bias")
    if refused:
        raise AdapterError(f"{path}: {refused[0]} = {config[refused[0]]!r} has no counterpart in lorafit")
    return dict(config)


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / TENSOR_FILE
    try:
        if path.is_file():
            return safetensors.torch.load_file(path)
        path = folder / PICKLE_FILE
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise NotFoundError(f"{folder}: neither {TENSOR_FILE} nor {PICKLE_FILE} is there") from None
    except Exception as error:  # safetensors, pickle, zip and runtime errors alike
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DamagedError(f"{path}: cannot be read: {first_line}") from None
