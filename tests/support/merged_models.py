"""Merging an adapter in a test, and looking at the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from lorafit.adapters import BaseChoice, read_adapter, write_adapter
from lorafit.verbs.merge import MergeResult, merge


def merge_to(adapter: Path, output: Path, base: BaseChoice | None = None, **options: Any) -> MergeResult:
    """Merge on the adapter's own base unless another is given."""
    return merge(adapter, output, base or BaseChoice(), **options)


def weights(folder: Path) -> dict[str, Tensor]:
    """Every tensor in the safetensors files of a folder."""
    return {k: v for file in sorted(folder.glob("*.safetensors")) for k, v in load_file(file).items()}


def with_other(adapter: Path, folder: Path, **changes: Any) -> Path:
    """The same adapter in another folder, with other `tensors` or another `fingerprint`."""
    given = read_adapter(adapter)
    tensors = changes.get("tensors", given.tensors)
    write_adapter(folder, given.card, tensors, changes.get("fingerprint", given.fingerprint))
    return folder
