"""Which linear layers a text never reaches: no gradient comes back to them, so nothing could be learned there.

Such are towers for images in a model that reads text, attention to an encoder that is not there, and layers whose
weight is read by another module, without a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from lorafit import lora
from lorafit.metrics import Kind
from lorafit.models.families import Family, any_number, is_proven
from lorafit.models.model import Model

if TYPE_CHECKING:  # with an architecture that is known nothing is tried
    from transformers import PretrainedConfig

_LENGTHS = (40, 31, 24)  # of the texts: long enough that every expert and every kind of layer has its turn
_NONE = "-"


def unreached_layers(family: Family, config: PretrainedConfig, output: Kind) -> tuple[str, ...]:
    """Names of linear layers, with `*` for numbers; tried on a small copy where no test knows the architecture."""
    if is_proven(family):
        return ()
    from lorafit.models.trials.trial import with_small_copy

    found = with_small_copy(f"layers unreached for {output}", family, config, output, _unreached)
    return () if found is None or found == _NONE else tuple(found.split())


def _unreached(copy: Model) -> str:
    from lorafit.models.trials.trial import gradients, outputs_of_each, random_texts

    linear = {name: module for name, module in lora.adaptable(copy.net).items() if lora.Linear.adapts(module)}
    called: set[nn.Module] = set()
    hooks = [
        module.register_forward_hook(lambda module, _inputs, _output: called.add(module))
        for module in linear.values()
    ]
    outputs = outputs_of_each(copy, random_texts(copy, _LENGTHS))
    for hook in hooks:
        hook.remove()
    found = dict(
        zip(linear, gradients([m.get_parameter("weight") for m in linear.values()], outputs), strict=True)
    )
    reached = {
        any_number(name)
        for name, module in linear.items()
        if module in called and bool(torch.count_nonzero(found[name]))
    }
    every = dict.fromkeys(any_number(name) for name in linear)
    return " ".join(name for name in every if name not in reached) or _NONE
