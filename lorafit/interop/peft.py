"""PEFT's adapter folder: `adapter_config.json` and `adapter_model.safetensors`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from lorafit import lora
from lorafit.adapters import Adapter
from lorafit.adapters.restore import method_of, model_config
from lorafit.errors import AdapterError
from lorafit.methods import LoRA
from lorafit.models import Model, skeleton

_PREFIX = "base_model.model."


def write_peft(adapter: Adapter, base: str, revision: str | None, folder: Path) -> None:
    """Write the two files into an existing folder; `peft.PeftModel.from_pretrained(base_model, folder)` loads them.

    A MergedLinear over k of n slices becomes one PEFT LoRA of rank k r: A is kept, and B [out, k r] has each slice's
    B in a block of its own, zeros elsewhere; its alpha is (alpha / r) k r, so that the scale stays.
    Raises AdapterError for a method other than LoRA.
    """
    method = method_of(adapter)
    if not isinstance(method, LoRA):
        raise AdapterError(
            f"{adapter.folder}: method {method.name!r} has no counterpart in PEFT's LoRA format; use merge"
        )
    shape = skeleton(model_config(adapter, base, revision), adapter.card.task.output)
    method.attach(shape)
    layers = {
        name: m for name, m in shape.net.named_modules() if isinstance(m, lora.LoRALayer) and m.has_adapter
    }
    tensors: dict[str, Tensor] = {}
    ranks, alphas = {}, {}
    for name, layer in layers.items():
        a, b = adapter.tensors[f"{name}.lora_A"], adapter.tensors[f"{name}.lora_B"]
        tensors |= _layer_tensors(name, layer, a, b)
        ranks[name] = a.shape[0] if not isinstance(layer, lora.Embedding) else layer.r
        alphas[name] = layer.scaling * ranks[name]
    head = _head_modules(shape)
    for name, tensor in adapter.tensors.items():
        if name.rpartition(".")[0] not in layers:
            tensors[_PREFIX + name] = tensor
    safetensors.torch.save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = _config(method, layers, ranks, alphas) | {
        "base_model_name_or_path": base,
        "revision": revision,
        "task_type": "CAUSAL_LM" if shape.output == "text" else "SEQ_CLS",
        "modules_to_save": head or None,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _layer_tensors(name: str, layer: lora.LoRALayer, a: Tensor, b: Tensor) -> dict[str, Tensor]:
    if isinstance(layer, lora.Embedding):
        return {f"{_PREFIX}{name}.lora_embedding_A": a, f"{_PREFIX}{name}.lora_embedding_B": b}
    if isinstance(layer, lora.Linear | lora.MergedLinear):
        b = block_structured(b, layer.enable_lora, layer.r)
    return {f"{_PREFIX}{name}.lora_A.weight": a, f"{_PREFIX}{name}.lora_B.weight": b.contiguous()}


def block_structured(b: Tensor, enabled: list[bool], r: int) -> Tensor:
    """B of the adapted slices, [k * width, r] -> [n * width, k * r], one block for each adapted slice."""
    num_adapted = sum(enabled)
    width = b.shape[0] // num_adapted
    wide = b.new_zeros(len(enabled) * width, num_adapted * r)
    block = 0
    for index, on in enumerate(enabled):
        if on:
            rows, columns = slice(index * width, (index + 1) * width), slice(block * r, (block + 1) * r)
            wide[rows, columns] = b[block * width : (block + 1) * width]
            block += 1
    return wide


def _config(
    method: LoRA, layers: dict[str, Any], ranks: dict[str, int], alphas: dict[str, float]
) -> dict[str, Any]:
    """Rank and alpha of the first layer for all, patterns for those that differ."""
    r, alpha = next(iter(ranks.values())), next(iter(alphas.values()))
    return {
        "peft_type": "LORA",
        "target_modules": sorted(layers),
        "r": r,
        "lora_alpha": alpha,
        "lora_dropout": method.dropout,
        "bias": "none",
        "fan_in_fan_out": any(getattr(layer, "fan_in_fan_out", False) for layer in layers.values()),
        "rank_pattern": {name: rank for name, rank in ranks.items() if rank != r},
        "alpha_pattern": {name: value for name, value in alphas.items() if value != alpha},
        "inference_mode": True,
    }


def _head_modules(shape: Model) -> list[str]:
    """Modules outside the encoder, and poolers: PEFT saves them whole."""
    heads = {shape.family.head_module(name) for name, _ in shape.head_parameters()}
    return sorted(heads)
