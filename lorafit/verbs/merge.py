"""Adapter folder + base -> a plain Hugging Face model folder, with a certificate that it computes the same."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lorafit.adapters import BaseChoice, check_base, read_adapter, where_base
from lorafit.errors import RecipeError
from lorafit.files import new_folder, write_json
from lorafit.interop import MergeProof, MergeSource, prove_merge, thrifty, write_merged
from lorafit.run.provenance import provenance

CERTIFICATE_FILE = "merge.json"


@dataclass(frozen=True)
class MergeResult:
    """The new folder, its size, and the proof."""

    folder: Path
    num_bytes: int
    proof: MergeProof


def merge(
    folder: Path, output: Path, base: BaseChoice, dtype: str | None, max_shard_bytes: int | None
) -> MergeResult:
    """Write the merged model to `output`, a new folder, and prove it; without proof, nothing is left there.

    Raises AdapterError for the wrong base or a merge that cannot be proven, NotMergeableError for a method without
    merged form, RecipeError when `output` is there already, LorafitError when the disk is too full.
    """
    check_new(output)
    chosen = getattr(torch, dtype) if dtype else None
    with thrifty():
        adapter = read_adapter(folder)
        check_base(adapter, base=base.base, force=base.force)
        source = MergeSource.of(adapter, *where_base(adapter, base.base))
        return _write(source, output, chosen, max_shard_bytes)


def _write(
    source: MergeSource, output: Path, dtype: torch.dtype | None, max_shard_bytes: int | None
) -> MergeResult:
    with new_folder(output) as temporary:
        weights = write_merged(source, temporary, dtype=dtype, max_shard_bytes=max_shard_bytes)
        with _on_its_way_to_disk(weights):
            proof = prove_merge(source, temporary)
        write_json(temporary / CERTIFICATE_FILE, _certificate(source, proof))
    return MergeResult(output, sum(file.stat().st_size for file in output.iterdir()), proof)


@contextmanager
def _on_its_way_to_disk(files: Sequence[Path]) -> Iterator[None]:
    """Let the system write the files out while the block runs."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_sync, files)
        yield


def _sync(files: Sequence[Path]) -> None:
    for file in files:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def _certificate(source: MergeSource, proof: MergeProof) -> dict[str, Any]:
    """What was merged with what, and how well."""
    card, made = source.adapter.card, provenance()
    return {
        "adapter": {
            "sha256": card.files["adapter.safetensors"].sha256,
            "method": card.method,
            "task": card.task.model_dump(mode="json"),
        },
        "base": card.base.model_dump(mode="json"),
        "untied": sorted(source.untied),
        "proof": {
            "compared_with": proof.reference,
            "inputs": proof.num_inputs,
            "logits": proof.num_logits,
            "max_logit_difference": proof.max_difference,
            "allowed_difference": proof.allowed,
            "largest_logit": proof.largest_logit,
            "least_survived": proof.least_survived,
        },
        "layers": [asdict(layer) for layer in proof.layers],
        "made": {
            key: getattr(made, key) for key in ("created", "lorafit", "torch", "transformers", "commit")
        },
    }


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
