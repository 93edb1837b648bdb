"""A net that runs with its weights in their files: of a model of any size, little more than one module is in memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lorafit.errors import NotFoundError
from lorafit.models.files.stored import MappedFile, Stored
from lorafit.models.model import Model

_SMALL = 1 << 20  # values; a tensor up to this size is converted once and kept

Weight = Stored | Tensor


def map_weights(model: Model, weights: Mapping[int, Weight]) -> None:
    """Give every parameter of a skeleton its weight, computing in float32.  `weights`: by the parameter's id().

    Weights are mapped, not read, and let go after their module has run. Raises NotFoundError for a parameter without
    weight.
    """
    files: dict[Path, MappedFile] = {}
    for name, module in list(model.net.named_modules()):
        parameters = {key: p for key, p in module._parameters.items() if p is not None}
        for key, parameter in parameters.items():
            if id(parameter) not in weights:
                raise NotFoundError(f"{name}.{key}: not among the weights")
        own = {key: weights[id(parameter)] for key, parameter in parameters.items()}
        _give(module, own, files)


def _give(module: nn.Module, own: Mapping[str, Weight], files: dict[Path, MappedFile]) -> None:
    late: dict[str, Tensor] = {}
    for key, weight in own.items():
        value = _view(weight, files) if isinstance(weight, Stored) else weight
        if value.dtype != torch.float32 and value.numel() > _SMALL:
            late[key] = value
        else:
            value = value.float()
        module._parameters[key] = nn.Parameter(value, requires_grad=False)
    if late:
        module.register_forward_pre_hook(partial(_convert, late=late))
    in_files = [weight for weight in own.values() if isinstance(weight, Stored) and weight.mapped is None]
    if late or in_files:
        module.register_forward_hook(partial(_let_go, late=late, in_files=in_files, files=files))


def _view(weight: Stored, files: dict[Path, MappedFile]) -> Tensor:
    if weight.mapped is not None:
        return weight.mapped
    return files.setdefault(weight.file, MappedFile(weight.file)).view(weight)


def _convert(module: nn.Module, _inputs: Any, *, late: Mapping[str, Tensor]) -> None:
    for key, value in late.items():
        module._parameters[key] = nn.Parameter(value.float(), requires_grad=False)


def _let_go(
    module: nn.Module,
    _inputs: Any,
    _output: Any,
    *,
    late: Mapping[str, Tensor],
    in_files: list[Stored],
    files: Mapping[Path, MappedFile],
) -> None:
    for key, value in late.items():
        module._parameters[key] = nn.Parameter(value, requires_grad=False)
    for stored in in_files:
        files[stored.file].release(stored)
