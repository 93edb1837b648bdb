"""Adapter folder + base -> a plain Hugging Face model folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from lorafit.adapters import check_base, read_adapter
from lorafit.errors import RecipeError
from lorafit.files import new_folder
from lorafit.interop import write_merged
from lorafit.workflows.evaluate import BaseChoice


@dataclass(frozen=True)
class MergeResult:
    """The new folder and its size."""

    folder: Path
    num_bytes: int


def merge(
    folder: Path, output: Path, base: BaseChoice, dtype: str | None, max_shard_bytes: int
) -> MergeResult:
    """Write the merged model to `output`, a new folder.

    Raises AdapterError for the wrong base, NotMergeableError for a method without merged form, RecipeError when
    `output` is there already.
    """
    adapter = read_adapter(folder)
    check_new(output)
    where, revision = (base.base, None) if base.base else (adapter.card.base.id, adapter.card.base.revision)
    check_base(adapter, base=base.base, force=base.force)
    with new_folder(output) as temporary:
        chosen = getattr(torch, dtype) if dtype else None
        write_merged(adapter, where, revision, temporary, dtype=chosen, max_shard_bytes=max_shard_bytes)
    return MergeResult(output, sum(file.stat().st_size for file in output.iterdir()))


def check_new(output: Path) -> None:
    """An output folder must be new, or empty. Raises RecipeError otherwise."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RecipeError(f"{output}: is there already; name a new folder")


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(text: str) -> int:
    """'5GB' -> 5000000000. Raises RecipeError for what is not a size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if not match or match[2].upper() not in _UNITS or float(match[1]) == 0:
        raise RecipeError(f"--max-shard-size {text}: not a size; write it as 500MB or 5GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])
