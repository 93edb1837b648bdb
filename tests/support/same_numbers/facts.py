"""What a command computed, as digests and values; and how two such records are held against each other."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

TOLERANCE = 1e-4
BFLOAT16_TOLERANCE = 2**-6  # two steps of rounding
_NUM_SAMPLES = 5  # values kept of a tensor, evenly spaced


@dataclass
class Facts:
    """Of one case.

    `exact`: counts, token ids and texts, which are the same everywhere. `rough`: numbers whose last bits differ from
    run to run on one machine. `tolerance` is that of numbers and tensors elsewhere, and of `rough` everywhere: a share
    of the largest value of the list or tensor.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    numbers: dict[str, list[float]] = field(default_factory=dict)
    rough: dict[str, list[float]] = field(default_factory=dict)
    exact: dict[str, Any] = field(default_factory=dict)
    tolerance: float = TOLERANCE

    def record(self) -> dict[str, Any]:
        """As JSON: every tensor as dtype, shape, digest and a few values; every number in full."""
        return {
            "tolerance": self.tolerance,
            "exact": json.loads(json.dumps(self.exact)),
            "numbers": self.numbers,
            "rough": {name: [float(f"{n:.8g}") for n in numbers] for name, numbers in self.rough.items()},
            "tensors": {name: _tensor_record(tensor) for name, tensor in sorted(self.tensors.items())},
        }


def _tensor_record(tensor: Tensor) -> dict[str, Any]:
    tensor = tensor.detach().cpu().contiguous()
    content = tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "sha256": hashlib.sha256(content).hexdigest()[:20],
        "values": _samples(tensor),
    }


def _samples(tensor: Tensor) -> list[float]:
    """The root mean square, the largest size, and values from all over the tensor: six digits of each."""
    flat = tensor.flatten().double()
    if not len(flat):
        return []
    places = [i * (len(flat) - 1) // max(_NUM_SAMPLES - 1, 1) for i in range(min(_NUM_SAMPLES, len(flat)))]
    chosen = [flat.square().mean().sqrt(), flat.abs().max(), *flat[places]]
    return [float(f"{value:.6g}") for value in chosen]


def differences(found: Mapping[str, Any], recorded: Mapping[str, Any], *, bit_for_bit: bool) -> list[str]:
    """One line for everything in which a case is not as it was recorded."""
    tolerance = recorded["tolerance"]
    return [
        *_exact_differences(found["exact"], recorded["exact"]),
        *_number_differences(found["numbers"], recorded["numbers"], 0.0 if bit_for_bit else tolerance),
        *_number_differences(found["rough"], recorded["rough"], tolerance),
        *_tensor_differences(found["tensors"], recorded["tensors"], tolerance, bit_for_bit),
    ]


def _names(what: str, found: Mapping[str, Any], recorded: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(found.keys() ^ recorded.keys()):
        yield f"{what} {name}: {'is new' if name in found else 'is missing'}"


def _exact_differences(found: Mapping[str, Any], recorded: Mapping[str, Any]) -> Iterator[str]:
    new_keys = {
        name for name in found.keys() - recorded.keys() if name.startswith("recipe.")
    }  # recipes may grow
    yield from _names("value", {name: found[name] for name in found.keys() - new_keys}, recorded)
    for name in found.keys() & recorded.keys():
        if found[name] != recorded[name]:
            yield f"{name}: {found[name]!r}, recorded {recorded[name]!r}"


def _number_differences(
    found: Mapping[str, Sequence[float]], recorded: Mapping[str, Sequence[float]], tolerance: float
) -> Iterator[str]:
    yield from _names("numbers", found, recorded)
    for name in found.keys() & recorded.keys():
        if not _close(found[name], recorded[name], tolerance):
            yield f"{name}: {found[name]}, recorded {recorded[name]}"


def _tensor_differences(
    found: Mapping[str, Any], recorded: Mapping[str, Any], tolerance: float, bit_for_bit: bool
) -> Iterator[str]:
    yield from _names("tensor", found, recorded)
    for name in found.keys() & recorded.keys():
        ours, theirs = found[name], recorded[name]
        allowed = BFLOAT16_TOLERANCE if theirs["dtype"] == "bfloat16" else tolerance
        if (ours["dtype"], ours["shape"]) != (theirs["dtype"], theirs["shape"]):
            yield f"{name}: {ours['dtype']} {ours['shape']}, recorded {theirs['dtype']} {theirs['shape']}"
        elif bit_for_bit and ours["sha256"] != theirs["sha256"]:
            yield f"{name}: other bits; {ours['values']}, recorded {theirs['values']}"
        elif not _close(ours["values"], theirs["values"], allowed):
            yield f"{name}: {ours['values']}, recorded {theirs['values']}"


def _close(found: Sequence[float], recorded: Sequence[float], tolerance: float) -> bool:
    allowed = tolerance * max(map(abs, recorded), default=0.0)
    return len(found) == len(recorded) and all(
        a == b or abs(a - b) <= allowed for a, b in zip(found, recorded, strict=True)
    )


def flat_numbers(prefix: str, value: Any) -> dict[str, list[float]]:
    """Every number in nested JSON by its dotted name; what is None or a text is left out."""
    if isinstance(value, Mapping):
        inner = [flat_numbers(f"{prefix}.{key}", part) for key, part in value.items()]
        return {name: numbers for part in inner for name, numbers in part.items()}
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return {prefix: [value]} if is_number else {}


def machine() -> dict[str, Any]:
    """What decides the last bits of a float: the CPU, and who computes on it."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    entries = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    entries = {key.strip(): value.strip() for key, value in entries.items()}
    vector_units = sorted(
        flag
        for flag in entries.get("flags", "").split()
        if flag.startswith(("avx", "amx", "fma", "sse4", "f16c"))
    )
    return {
        "cpu": entries.get("model name", platform.processor() or platform.machine()),
        "model": [entries.get(key, "") for key in ("cpu family", "model", "stepping")],
        "vector_units": " ".join(vector_units),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
