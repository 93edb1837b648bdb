"""How many members fit into memory together: a step of one is measured, and the memory that there is."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from lorafit.allocator import trim

_SHARE = 0.8  # of the free memory that is taken into account: steps differ in length
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def room_for(
    step: Callable[[], None],
    device: torch.device,
    num_members: int = 1,
    *,
    kept_bytes: int = 0,
    sharing: int = 1,
) -> int | None:
    """How many members have room at once, where `step` makes a pass of `num_members`.

    `kept_bytes`: what each will hold beyond that pass. `sharing`: processes that share the memory of the device.
    At least 1; None where the machine does not tell what memory it has.
    """
    gc.collect()  # else what a step takes of freed memory is not seen
    trim()
    free, before = free_bytes(device), _used(device)
    if free is None or before is None or not _reset_peak(device):
        return None
    step()
    peak = _peak(device)
    if peak is None:
        return None
    needed = max(peak - before, 1) / num_members + kept_bytes
    return max(1, int(_SHARE * free / sharing / needed))


def free_bytes(device: torch.device) -> int | None:
    """Memory that can still be had on a device: the GPU's, or the machine's within the limits of its cgroup."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = list(_free_by_cgroup())
    available = _line(Path("/proc/meminfo"), "MemAvailable:")
    found += [] if available is None else [available]
    return min(found, default=None)


def _free_by_cgroup() -> Iterator[int]:
    for limit, current in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
            yield max(0, int(limit.read_text()) - int(current.read_text()))


def _used(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _line(_STATUS, "VmRSS:")


def _peak(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _line(_STATUS, "VmHWM:")


def _reset_peak(device: torch.device) -> bool:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        _CLEAR.write_text("5")  # Linux: the peak begins anew
    except OSError:
        return False
    return True


def _line(path: Path, name: str) -> int | None:
    """Bytes, from a line such as 'VmRSS:  1234 kB'."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)
