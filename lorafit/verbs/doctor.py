"""What this machine has for lorafit: versions, the device and its measured speed, caches, the hub, Java."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub import constants

from lorafit.data.originals import data_root
from lorafit.files import cache_folder
from lorafit.metrics import METRICS
from lorafit.models.placement import Placement
from lorafit.track import TRACKERS
from lorafit.version import __version__

Part = Literal["versions", "extras", "device", "speed", "places", "network"]

NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "datasets", "huggingface_hub")
EXTRAS = {
    "peft": "peft",
    "gguf": "gguf",
    "matplotlib": "plots",
    "pycocoevalcap": "e2e",
    **{name: tracker.extra for name, tracker in TRACKERS.items() if tracker.extra},
}
"""Package -> the extra of lorafit that brings it."""

_WIDTH = {
    "cpu": 768,
    "cuda": 8192,
}  # of the matrices that are multiplied: large enough to show the device's speed
_TRIES, _LONGEST_S = 5, 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is, how it stands, and, where something is missing, what helps."""

    part: Part
    name: str
    value: str | float | None
    ok: bool = True
    cure: str = ""


def examine(timeout_s: float = 3.0) -> Iterator[Finding]:
    """All findings, as they are made. The hub is asked once, for at most `timeout_s`."""
    yield Finding("versions", "lorafit", __version__)
    yield Finding("versions", "python", platform.python_version())
    for name in NEEDED:
        yield Finding("versions", name, _version(name))
    for name in EXTRAS:
        yield _extra(name)
    yield _java()
    yield from _device()
    for dtype in (torch.float32, torch.bfloat16):
        yield Finding("speed", f"{str(dtype).removeprefix('torch.')} (GFLOP/s)", _speed(dtype))
    for name, place in _places().items():
        yield Finding("places", name, f"{place} ({_free(place) / 1e9:.0f} GB free)")
    yield hub(constants.ENDPOINT, timeout_s, offline=constants.HF_HUB_OFFLINE)


def hub(endpoint: str, timeout_s: float, *, offline: bool) -> Finding:
    """Whether the Hugging Face hub answers, with whatever it says."""
    if offline:
        return Finding("network", "hub", "switched off (HF_HUB_OFFLINE)")
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=timeout_s):
            return Finding("network", "hub", f"{endpoint} answers")
    except urllib.error.HTTPError as error:
        return Finding("network", "hub", f"{endpoint} answers (HTTP {error.code})")
    except (OSError, ValueError):
        cure = "bases and data must lie here: `lorafit fetch RECIPE` on a machine with network"
        return Finding("network", "hub", f"{endpoint} is out of reach", ok=False, cure=cure)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extra(name: str) -> Finding:
    version = _version(name)
    cure = "" if version else f"pip install 'lorafit[{EXTRAS[name]}]'"
    return Finding("extras", name, version or "not installed", ok=version is not None, cure=cure)


def _device() -> Iterator[Finding]:
    """Where models run, how much memory there is, and which number format "auto" means there for a wide base."""
    placement = Placement.of("auto", 4096)
    if placement.device.type == "cuda":
        properties = torch.cuda.get_device_properties(placement.device)
        yield Finding("device", "device", f"{torch.cuda.device_count()} x {properties.name}")
        yield Finding("device", "memory", f"{properties.total_memory / 1e9:.0f} GB")
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        threads = torch.get_num_threads()
        yield Finding("device", "device", f"CPU ({platform.machine()}), {cores} cores, {threads} threads")
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        yield Finding("device", "memory", f"{memory / 1e9:.0f} GB")
    yield Finding("device", "dtype auto", f"{placement.dtype_name} for a wide base: {placement.reason}")


def _speed(dtype: torch.dtype) -> float:
    """Measured: 10^9 multiplications and additions a second, in a product of square matrices; the median of some."""
    device = Placement.of("float32").device
    width = _WIDTH[device.type]
    a, b = (
        torch.randn(width, width, generator=torch.Generator().manual_seed(i)).to(device, dtype)
        for i in (0, 1)
    )
    torch.mm(a, b)
    seconds: list[float] = []
    while len(seconds) < _TRIES and sum(seconds) < _LONGEST_S:
        _wait(device)
        started = time.perf_counter()
        torch.mm(a, b)
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return round(2 * width**3 / statistics.median(seconds) / 1e9, 1)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _places() -> dict[str, Path]:
    """Folders that lorafit reads and fills besides the ones that it is told."""
    return {
        "bases and data of the hub": Path(constants.HF_HUB_CACHE),
        "the paper's data": data_root(),
        "what is kept between runs (LORAFIT_CACHE)": cache_folder(),
    }


def _free(place: Path) -> int:
    """Bytes that are free there; the folder need not exist yet."""
    there = next(path for path in (place, *place.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _java() -> Finding:
    reason = METRICS["meteor"].unavailable()
    value = "cannot be computed" if reason else "can be computed"
    return Finding("extras", "METEOR 1.5 (Java)", value, not reason, reason or "")
