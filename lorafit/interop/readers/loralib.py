"""The files that `torch.save(lora.lora_state_dict(model))` leaves, and those that the paper's authors released.

RoBERTa and DeBERTa: a plain dict with Hugging Face's names and the head. GPT-2: `{"model_state_dict": {...}}` with
`module.` before every name. Wrapper and prefixes may be there or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.errors import AdapterError, DamagedError, NotFoundError, SetArgument
from lorafit.interop.readers.base import Reader

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorafit.interop.foreign import Factors, Foreign, Slices


class LoralibReader(Reader):
    """lora_A and lora_B as loralib shapes them, which are lorafit's own shapes. The file holds no alpha."""

    name: ClassVar[str] = "loralib"
    help: ClassVar[str] = (
        "a state dict of loralib, such as the paper's released checkpoints; it holds no alpha"
    )
    holds_alpha: ClassVar[bool] = False

    @override
    def read(self, path: Path) -> Foreign:
        """A `.bin` or `.pt` file, or a folder in which the file has the name that the writer gives it."""
        from lorafit.interop.foreign import Foreign
        from lorafit.interop.loralib_layout import FILE

        file = path / FILE if path.is_dir() else path
        tensors = {name.removeprefix("module."): t.float() for name, t in _read_tensors(file).items()}
        layers, others = {}, {}
        for name, tensor in tensors.items():
            module, _, leaf = name.rpartition(".")
            if leaf == "lora_A":
                lora_b = tensors.get(f"{module}.lora_B", tensor.new_empty(0))
                layers[module] = {"lora_A": tensor, "lora_B": lora_b}
            elif leaf != "lora_B" or f"{module}.lora_A" not in tensors:
                others[name] = tensor
        if not layers:
            raise AdapterError(f"{file}: holds no lora_A, so it is not a LoRA checkpoint of loralib")
        return Foreign(file, layers, others)

    @override
    def factors(self, foreign: Foreign, name: str, module: nn.Module, slices: Slices) -> Factors:
        """As they are; how many slices of a fused projection are adapted shows in the shapes, which ones does not."""
        from torch import nn

        from lorafit.interop.foreign import Factors
        from lorafit.interop.loralib_layout import is_matrix

        tensors = foreign.layers[name]
        a, b = tensors["lora_A"], tensors["lora_B"]
        if a.ndim != 2 or b.ndim != 2:
            raise DamagedError(f"{foreign.path}: {name!r}: lora_A and lora_B must be matrices")
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and not is_matrix(module):
            raise AdapterError(
                f"{foreign.path}: {name!r}: loralib's update of a kernel {module.kernel_size} has a higher rank; "
                f"an adapter folder holds updates of rank r"
            )
        r = a.shape[0] if isinstance(module, nn.Embedding) else b.shape[1]
        if slices.count == 1 or (a.shape[0] == r and b.shape[0] == _width(module)):
            return Factors(tensors, r)
        return Factors(tensors, r, _enabled(foreign, name, a.shape[0] // max(r, 1), slices))


def _width(module: nn.Module) -> int:
    """Outputs of a linear layer, or of Hugging Face's Conv1D, which calls them nf."""
    facts = vars(module)
    return int(facts["nf"] if "nf" in facts else facts["out_features"])


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
            f"{foreign.path}: {name!r} adapts {num_adapted} of {slices.count} slices of its output",
            SetArgument("targets", note="the slices that it adapts, such as query"),
        )
    return enabled


def _read_tensors(file: Path) -> dict[str, Tensor]:
    import torch

    from lorafit.interop.loralib_layout import WRAPPER
    from lorafit.models.pickled import read_pickled

    if not file.is_file():
        raise NotFoundError(f"{file}: no such file")
    document = read_pickled(file, DamagedError)
    if isinstance(document, dict) and isinstance(document.get(WRAPPER), dict):
        document = document[WRAPPER]
    if not isinstance(document, dict) or not all(isinstance(k, str) for k in document):
        raise AdapterError(f"{file}: is not a state dict")
    return {name: tensor for name, tensor in document.items() if isinstance(tensor, torch.Tensor)}
