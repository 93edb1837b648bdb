"""The weighted sum of several LoRA adapters of one base as one adapter: their ranks side by side, so it is exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch

import torch
from torch import Tensor

from lorafit import lora
from lorafit.interop.foreign import Factors
from lorafit.interop.peft_layout import to_peft
from lorafit.interop.targets import exact_targets
from lorafit.methods import LoRA
from lorafit.models import Model

Layers = Mapping[str, lora.LoRALayer]


def combined(parts: Sequence[tuple[float, Layers]], shape: Model) -> tuple[LoRA, dict[str, Tensor]]:
    """The method and the tensors of the sum of weight * adapter. `shape`: the bare base's.

    Everything has alpha = r, so that the scale is 1 and each B holds what its adapter's was. A module that the
    adapters adapt in other slices is adapted as a whole.
    """
    modules: dict[str, list[tuple[float, lora.LoRALayer]]] = {}
    for weight, layers in parts:
        for name, layer in layers.items():
            modules.setdefault(name, []).append((weight, layer))
    sums = {name: _sum(layers) for name, layers in modules.items()}
    r = max(factors.r for factors in sums.values())
    targets = exact_targets({name: factors.enabled for name, factors in sums.items()}, shape)
    assert targets is not None, "what targets meant, or a whole module, has a name"
    tensors = {
        f"{name}.{key}": tensor.contiguous()
        for name, factors in sums.items()
        for key, tensor in factors.levelled(r, 1.0, 1.0).tensors.items()
    }
    return LoRA(r=r, alpha=float(r), dropout=0.0, targets=targets), tensors


def _sum(layers: Sequence[tuple[float, lora.LoRALayer]]) -> Factors:
    """Of the updates of one module."""
    factors = [_by_slices(layer) for _, layer in layers]
    if len({each.enabled for each in factors}) > 1:
        factors = [_as_a_whole(layer) for _, layer in layers]
    a = [each.tensors["lora_A"].unflatten(0, (-1, each.r)) for each in factors]
    scaled = zip(layers, factors, strict=True)
    b = [each.tensors["lora_B"] * (weight * layer.scaling) for (weight, layer), each in scaled]
    tensors = {"lora_A": torch.cat(a, 1).flatten(0, 1), "lora_B": torch.cat(b, 1)}
    return Factors(tensors, sum(each.r for each in factors), factors[0].enabled, 1.0)


@singledispatch
def _by_slices(layer: lora.LoRALayer) -> Factors:
    return Factors({"lora_A": layer.lora_A.detach(), "lora_B": layer.lora_B.detach()}, layer.r)


@_by_slices.register
def _(layer: lora.MergedLinear) -> Factors:
    tensors = {"lora_A": layer.lora_A.detach(), "lora_B": layer.lora_B.detach()}
    return Factors(tensors, layer.r, tuple(layer.enable_lora))


def _as_a_whole(layer: lora.LoRALayer) -> Factors:
    a, b = to_peft(layer).values()
    return Factors({"lora_A": a, "lora_B": b}, len(a))
