"""Where a model runs and in which number format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from lorafit.errors import OutOfMemoryError, SetKey

Dtype = Literal["float32", "bfloat16"]
"""A number format of frozen weights."""


@dataclass(frozen=True)
class Placement:
    """A device and the format of the frozen weights; what is trained stays in float32."""

    device: torch.device
    dtype: torch.dtype

    @staticmethod
    def of(dtype: Literal["auto"] | Dtype) -> Placement:
        """The GPU where there is one. "auto" is bfloat16 on a GPU that has it, float32 elsewhere: on most CPUs
        bfloat16 is slower than float32."""
        has_gpu = torch.cuda.is_available()
        device = torch.device("cuda", torch.cuda.current_device()) if has_gpu else torch.device("cpu")
        if dtype == "auto":
            has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
            return Placement(device, torch.bfloat16 if has_bf16 else torch.float32)
        return Placement(device, getattr(torch, dtype))

    @property
    def dtype_name(self) -> Dtype:
        """As recipes spell it."""
        return "bfloat16" if self.dtype == torch.bfloat16 else "float32"

    def move(self, net: nn.Module) -> None:
        """Move the net there as it is."""
        nn.Module.to(net, self.device)

    def place(self, net: nn.Module) -> None:
        """Move the net there and cast its frozen parameters.

        A LayerNorm of which a part trains, as with BitFit, stays whole: it cannot compute in two formats at once.
        """
        self.move(net)
        for module in net.modules():
            own = list(module.parameters(recurse=False))
            if isinstance(module, nn.LayerNorm) and any(p.requires_grad for p in own):
                continue
            for parameter in own:
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(self.dtype)

    def autocast(self) -> AbstractContextManager[object]:
        """Matrix products in the frozen weights' format."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


LOADED = Placement(torch.device("cpu"), torch.float32)
"""That of a model which was loaded and not yet moved."""


@contextmanager
def clear_out_of_memory(where: object) -> Iterator[None]:
    """Inside the block, GPU memory that runs out is an OutOfMemoryError that says what to lower."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(
            f"{where}: out of GPU memory",
            SetKey("eval.batch_size", note="lower; the result stays the same"),
            SetKey("train.micro_batch_size", note="lower; the result stays the same"),
        ) from error
