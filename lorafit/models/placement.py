"""Where a model runs and in which number format."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from lorafit.errors import OutOfMemoryError, SetKey
from lorafit.lora.linear import lies_transposed
from lorafit.lora.whole_rows import compiles_each_shape, round_rows

Dtype = Literal["float32", "bfloat16"]
"""A number format of frozen weights."""


GAINS_FROM: Mapping[str, int] = {"amx_bf16": 640, "avx512_bf16": 256}
"""Processor feature -> how wide a model must be to train faster in bfloat16 (scripts/bench/dtype.py measures it). The
first that a processor has counts."""


_CPU_IS_FULL = "DefaultCPUAllocator: can't allocate memory"  # a plain RuntimeError, whose text tells it alone


@dataclass(frozen=True)
class Placement:
    """A device and the format of the frozen weights; what is trained stays in float32. `reason`: why it is this
    format, where it was left open."""

    device: torch.device
    dtype: torch.dtype
    reason: str = ""

    @staticmethod
    def of(
        dtype: Literal["auto"] | Dtype, width: int | None = None, *, is_quantized: bool = False
    ) -> Placement:
        """The GPU where there is one. "auto" is bfloat16 where the device multiplies it in hardware and a model of
        that `width` gains by it, and for a quantised base: a fixed rule, so that the same machine gives the same
        bits."""
        has_gpu = torch.cuda.is_available()
        device = torch.device("cuda", torch.cuda.current_device()) if has_gpu else torch.device("cpu")
        if dtype != "auto":
            return Placement(device, getattr(torch, dtype))
        if is_quantized:
            return Placement(device, torch.bfloat16, "the base is quantised")
        if has_gpu:
            has_bf16 = torch.cuda.is_bf16_supported()
            chosen = torch.bfloat16 if has_bf16 else torch.float32
            return Placement(device, chosen, f"this GPU has {'' if has_bf16 else 'no '}bfloat16")
        return Placement(device, *fastest_on_cpu(torch.cpu.get_capabilities(), width))

    def of_run(self, begun: Dtype | None, reason: str) -> Placement:
        """Where a run goes on, whose checkpoint says in which format it began; None: that of an earlier lorafit, which
        left float32 to every CPU."""
        if begun is None:
            is_float32 = self.dtype == torch.float32 or not self.reason or self.device.type != "cpu"
            return self if is_float32 else replace(self, dtype=torch.float32, reason="as the run began")
        return replace(self, dtype=getattr(torch, begun), reason=reason)

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
            is_linear = type(module).forward is nn.Linear.forward or lies_transposed(module)
            if is_linear and compiles_each_shape(own[0]):
                round_rows(module)

    def autocast(self) -> AbstractContextManager[object]:
        """Matrix products in the frozen weights' format.

        Without torch's cache of casts, which lives as long as the context: a trained weight would be multiplied as it
        was at the first step.
        """
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype, cache_enabled=False)


def fastest_on_cpu(capabilities: Mapping[str, object], width: int | None) -> tuple[torch.dtype, str]:
    """The format for a model of that width (None: not known) on a processor that can do so much, and why."""
    feature = next((name for name in GAINS_FROM if capabilities.get(name)), None)
    if feature is None:
        return torch.float32, f"this processor has no {' or '.join(GAINS_FROM)}"
    least = GAINS_FROM[feature]
    if width is None or width < least:
        is_width = "of unknown width" if width is None else f"{width} wide"
        return torch.float32, f"the base is {is_width}, and {feature} pays from {least} on"
    return torch.bfloat16, f"this processor has {feature}, and the base is {width} wide"


LOADED = Placement(torch.device("cpu"), torch.float32)
"""That of a model which was loaded and not yet moved."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: a GPU's, or that of the machine, for which torch and Python have errors of their own."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or _CPU_IS_FULL in str(error)


def free_memory() -> None:
    """Give back what a failed pass held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def clear_out_of_memory(where: object) -> Iterator[None]:
    """Inside the block, memory that runs out is an OutOfMemoryError that says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        of_gpu = "GPU " if isinstance(error, torch.OutOfMemoryError) else ""
        raise OutOfMemoryError(
            f"{where}: out of {of_gpu}memory",
            SetKey("eval.batch_size", note="lower; the result stays the same"),
            SetKey("train.micro_batch_size", note="lower; the result stays the same"),
        ) from error
