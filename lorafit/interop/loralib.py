"""The files that `torch.save(lora.lora_state_dict(model))` leaves, and those that the paper's authors released.

RoBERTa and DeBERTa: a plain dict with Hugging Face's names and the head. GPT-2: `{"model_state_dict": {...}}` with
`module.` before every name. Reading takes either, with or without wrapper and prefixes.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lorafit import lora
from lorafit.adapters import Adapter
from lorafit.errors import AdapterError, DamagedError, NotFoundError
from lorafit.interop.base import Factors, Foreign, Format, Slices, adapted_layers, refuse_unless_lora
from lorafit.models import Model

FILE = "pytorch_model_lora.bin"
_WRAPPER = "model_state_dict"


class Loralib(Format):
    """lora_A and lora_B as loralib shapes them, which are lorafit's own shapes. The file holds no alpha."""

    name = "loralib"
    holds_alpha = False

    def write(
        self,
        adapter: Adapter,
        shape: Model,
        base: str,  # noqa: ARG002
        revision: str | None,  # noqa: ARG002
        folder: Path,
    ) -> None:
        """One file, in the layout that the paper's code reads for this architecture."""
        refuse_unless_lora(adapter, self.name)
        for name, layer in adapted_layers(shape).items():
            if isinstance(layer, lora.ConvLoRA) and layer.layout != "loralib" and not _is_matrix(layer.conv):
                raise AdapterError(
                    f"{name}: loralib has no layer for an update of rank r of a kernel; use merge"
                )
        tensors: dict[str, Any] = OrderedDict(adapter.tensors)
        if shape.family.loralib_wrapped:
            tensors = {_WRAPPER: OrderedDict((f"module.{name}", t) for name, t in tensors.items())}
        torch.save(tensors, folder / FILE)

    def read(self, path: Path) -> Foreign:
        """A `.bin` or `.pt` file, or a folder in which the file is called as `write` calls it."""
        file = path / FILE if path.is_dir() else path
        tensors = {name.removeprefix("module."): t.float() for name, t in _read_tensors(file).items()}
        pairs, others = {}, {}
        for name, tensor in tensors.items():
            module, _, leaf = name.rpartition(".")
            if leaf == "lora_A":
                pairs[module] = (tensor, tensors.get(f"{module}.lora_B", tensor.new_empty(0)))
            elif leaf != "lora_B" or f"{module}.lora_A" not in tensors:
                others[name] = tensor
        if not pairs:
            raise AdapterError(f"{file}: holds no lora_A, so it is not a LoRA checkpoint of loralib")
        return Foreign(file, pairs, others)

    def factors(self, foreign: Foreign, name: str, module: nn.Module, slices: Slices) -> Factors:
        """As they are; how many slices of a fused projection are adapted shows in the shapes, which ones does not."""
        a, b = foreign.pairs[name]
        if a.ndim != 2 or b.ndim != 2:
            raise DamagedError(f"{foreign.path}: {name!r}: lora_A and lora_B must be matrices")
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and not _is_matrix(module):
            raise AdapterError(
                f"{foreign.path}: {name!r}: loralib's update of a kernel {module.kernel_size} has a higher rank; "
                f"an adapter folder holds updates of rank r"
            )
        r = a.shape[0] if isinstance(module, nn.Embedding) else b.shape[1]
        if slices.count == 1 or (a.shape[0] == r and b.shape[0] == _width(module)):
            return Factors(a, b, r)
        return Factors(a, b, r, _enabled(foreign, name, a.shape[0] // max(r, 1), slices))


def _is_matrix(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    """Kernels of one point, one group: where all layouts are one."""
    return conv.groups == 1 and set(conv.kernel_size) == {1}


def _width(module: Any) -> int:
    """Outputs of a linear layer; Hugging Face's Conv1D stores its weight [in, out]."""
    return int(module.nf if hasattr(module, "nf") else module.out_features)


def _enabled(foreign: Foreign, name: str, num_adapted: int, slices: Slices) -> tuple[bool, ...]:
    """loralib's enable_lora: as asked for, else the paper's query and value where two of three are adapted."""
    if slices.wanted is not None:
        enabled = slices.wanted
    elif num_adapted == slices.count:
        enabled = (True,) * slices.count
    else:
        enabled = (True, False, True)
    if len(enabled) != slices.count or sum(enabled) != num_adapted:
        raise AdapterError(
            f"{foreign.path}: {name!r} adapts {num_adapted} of {slices.count} slices of its output; say which with "
            f"--target, such as --target query"
        )
    return enabled


def _read_tensors(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise NotFoundError(f"{file}: no such file")
    try:
        document = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip and runtime errors alike
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DamagedError(f"{file}: cannot be read with weights_only: {first_line}") from None
    if isinstance(document, dict) and isinstance(document.get(_WRAPPER), dict):
        document = document[_WRAPPER]
    if not isinstance(document, dict) or not all(isinstance(k, str) for k in document):
        raise AdapterError(f"{file}: is not a state dict")
    return {name: tensor for name, tensor in document.items() if isinstance(tensor, Tensor)}
