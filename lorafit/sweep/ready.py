"""How many runs stand ready on one base: each has an adapter and open files, whether it is trained or waits."""

from __future__ import annotations

import resource
from collections.abc import Sequence

from lorafit.format import size
from lorafit.lora import STARTS
from lorafit.models.placement import Placement
from lorafit.run.plan import Plan
from lorafit.sweep.room import free_bytes

_SHARE = 0.5  # of the memory beside the base, for adapters; the rest is for those that are trained
_FILES_OF_A_RUN, _OTHER_FILES = 4, 128  # its lock, its log and a tracker's; those of the program
_BYTES_OF_A_VALUE = 4  # what is trained is in float32


def most_ready(plans: Sequence[Plan], sharing: int) -> tuple[int, str]:
    """How many of these runs can be open on one base, at least 1, and what limits them.

    `sharing` processes share the memory of the device.
    """
    limits = [_by_files(), *_by_memory(plans, sharing)]
    most, why = min(limits, key=lambda limit: limit[0])
    return max(1, most), why


def _by_files() -> tuple[int, str]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        files = 1 << 20
    return (files - _OTHER_FILES) // _FILES_OF_A_RUN, f"a process may open {files:,} files (ulimit -n)"


def _by_memory(plans: Sequence[Plan], sharing: int) -> list[tuple[int, str]]:
    """The limit of memory; none where the machine does not tell what memory it has."""
    first, section = plans[0], plans[0].recipe.model
    placement = Placement.of(section.dtype, is_quantized=section.quantize is not None)
    free = free_bytes(placement.device)
    if free is None:
        return []
    base = first.num_total * (0.5 if section.quantize else placement.dtype.itemsize)
    each = max(_own_bytes(plan, base) for plan in plans)
    why = f"each takes {size(each)} beside a base of {size(base)}, and {size(free / sharing)} are free"
    return [(int(_SHARE * (free / sharing - base) / each), why)]


def _own_bytes(plan: Plan, base: float) -> float:
    """Of a run that waits. An adapter that starts as a part of the weights leaves the rest of them to its run alone."""
    takes_from_base = plan.method.options().get("init") in STARTS
    trained = (plan.num_trained + plan.num_dropped + plan.num_head) * _BYTES_OF_A_VALUE
    return trained + (base if takes_from_base else 0.0)
