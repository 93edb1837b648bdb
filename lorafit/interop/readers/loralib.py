"""The files that `torch.save(lora.lora_state_dict(model))` leaves, and those that the paper's authors released.

RoBERTa and DeBERTa: a plain dict with Hugging Face's names and the head. GPT-2: `{"model_state_dict": {...}}` with
`module.` before every name. Other wrappers and prefixes may be there, such as those of Lightning and torch.compile.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.errors import AdapterError, DamagedError, SetArgument
from lorafit.interop.readers.base import Reader

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorafit.interop.foreign import Factors, Foreign, Slices


_FACTORS = ("lora_A", "lora_B")
# Query and value of the code that the paper's GPT-2 runs used (its branch snapshot-9-15-2021).
_ARCHIVED = re.compile(r"(?P<attention>.+)\.(?P<part>[qv])_proj_adapter(?P<number>[12])\.weight")


class LoralibReader(Reader):
    """lora_A and lora_B as loralib shapes them, which are lorafit's own shapes. The file holds no alpha."""

    name: ClassVar[str] = "loralib"
    help: ClassVar[str] = (
        "a state dict of loralib, such as the paper's released checkpoints; it holds no alpha"
    )
    holds_alpha: ClassVar[bool] = False

    @override
    def read(self, path: Path) -> Foreign:
        """A pickled or safetensors file, or a folder in which the file has the name that the writer gives it."""
        from lorafit.interop.checkpoint_file import read_checkpoint
        from lorafit.interop.foreign import Foreign
        from lorafit.interop.loralib_layout import FILE

        file = path / FILE if path.is_dir() else path
        layers: dict[str, dict[str, Tensor]] = {}
        others = {}
        for name, tensor in read_checkpoint(file).items():
            module, _, leaf = name.rpartition(".")
            if leaf in _FACTORS:
                layers.setdefault(module, {})[leaf] = tensor.float()
            elif archived := _ARCHIVED.fullmatch(name):
                key = f"{archived['part']}.{_FACTORS[int(archived['number']) - 1]}"
                layers.setdefault(f"{archived['attention']}.c_attn", {})[key] = tensor.float()
            else:
                others[name] = tensor
        if not layers:
            raise AdapterError(f"{file}: holds no lora_A, so it is not a LoRA checkpoint of loralib")
        return Foreign(file, {name: _pair(file, name, t) for name, t in layers.items()}, others)

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
        if r < 1 or slices.count == 1 or (a.shape[0] == r and b.shape[0] == _width(module)):
            return Factors(tensors, r)
        return Factors(tensors, r, _enabled(foreign, name, a.shape[0] // max(r, 1), slices))


def _pair(file: Path, name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """lora_A and lora_B; the archived code's, which lie apart for query and value, one below the other."""
    import torch

    if tensors.keys() == set(_FACTORS):
        return tensors
    apart = {factor: [tensors.get(f"{part}.{factor}") for part in "qv"] for factor in _FACTORS}
    whole = {factor: [t for t in pair if t is not None] for factor, pair in apart.items()}
    if len(tensors) != 4 or any(
        len({t.shape for t in pair}) != 1 or len(pair) != 2 for pair in whole.values()
    ):
        raise DamagedError(f"{file}: {name!r} has {', '.join(sorted(tensors))} alone, and not both factors")
    return {factor: torch.cat(pair) for factor, pair in whole.items()}


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
