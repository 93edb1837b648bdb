"""A model's shape without its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from lorafit.metrics import Kind
from lorafit.models.added_rows import add_rows
from lorafit.models.families import family_of
from lorafit.models.model import Model


def skeleton(config: PretrainedConfig, output: Kind, *, with_buffers: bool = False) -> Model:
    """The model's shape alone, on the meta device: for counting and for checking targets.

    `with_buffers`: what is computed and not stored is real, so that the net runs once it has weights.
    """
    family = family_of(config)
    with _parameters_on_meta() if with_buffers else _nothing_real():
        net: PreTrainedModel = family.heads[output].auto_class.from_config(
            config, dtype=torch.float32, trust_remote_code=False
        )
        net.tie_weights()  # which transformers takes for a part of drawing them
        add_rows(net)
    return Model(net.eval(), None, family, output)


@contextlib.contextmanager
def _nothing_real() -> Iterator[None]:
    """On the meta device, and without the time that drawing weights takes even there."""
    with torch.device("meta"), no_init_weights():
        yield


@contextlib.contextmanager
def _parameters_on_meta() -> Iterator[None]:
    register = nn.Module.register_parameter

    def without_storage(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:  # a tied one stays the same object
            parameter = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = without_storage  # type: ignore
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
