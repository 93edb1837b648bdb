"""Adapter folder + base -> a plain Hugging Face model folder, with a certificate that it computes the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lorafit.adapters import BaseChoice, check_base, read_adapter, where_base
from lorafit.errors import RecipeError, lookup
from lorafit.files import JsonObject, check_new, new_folder, write_json
from lorafit.interop.low_memory import low_memory
from lorafit.interop.models import MODEL_WRITERS, MergeProof
from lorafit.interop.models.source import MergeSource
from lorafit.models import tie_note
from lorafit.run.provenance import provenance

CERTIFICATE_FILE = "merge.json"
DEFAULT_FORMAT = next(iter(MODEL_WRITERS))


@dataclass(frozen=True)
class MergeResult:
    """The new folder, its size, the proof, and what to know about the base."""

    folder: Path
    num_bytes: int
    proof: MergeProof
    notes: list[str]


def merge(
    folder: Path,
    output: Path,
    base: BaseChoice,
    dtype: str | None = None,
    max_shard_bytes: int | None = None,
    format_name: str = DEFAULT_FORMAT,
) -> MergeResult:
    """Write the merged model to the new folder `output`, and prove it; without a proof, no folder is left.

    `dtype` is the name of a number format, `max_shard_bytes` the size of the largest file; None keeps the base's.
    Raises AdapterError for the wrong base or a merge that cannot be proven, NotMergeableError for a method without
    merged form, RecipeError when `output` exists, LorafitError when the disk is too full.
    """
    check_new(output)
    if max_shard_bytes is not None and max_shard_bytes < 1:
        raise RecipeError(f"max_shard_bytes: must be at least 1; got {max_shard_bytes}")
    writer = lookup(MODEL_WRITERS, format_name, "format of merged models")
    if dtype is not None:
        lookup(dict.fromkeys(writer.dtypes), dtype, "number format")
    with low_memory():
        adapter = read_adapter(folder)
        check_base(adapter, base=base.base, force=base.force)
        source = MergeSource.of(adapter, *where_base(adapter, base.base))
        with new_folder(output) as temporary:
            weights = writer.write(source, temporary, dtype=dtype, max_shard_bytes=max_shard_bytes)
            with _on_its_way_to_disk(weights):
                proof = writer.prove(source, temporary)
            write_json(temporary / CERTIFICATE_FILE, _certificate(source, proof))
    num_bytes = sum(file.stat().st_size for file in output.iterdir())
    tied = tie_note(*where_base(adapter, base.base))
    return MergeResult(output, num_bytes, proof, [tied] if tied else [])


@contextmanager
def _on_its_way_to_disk(files: Sequence[Path]) -> Iterator[None]:
    """Write the files to the disk while the block runs."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_sync, files)
        yield


def _sync(files: Sequence[Path]) -> None:
    for file in files:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def _certificate(source: MergeSource, proof: MergeProof) -> JsonObject:
    """What was merged with what, and how well."""
    card, made = source.adapter.card, provenance()
    return {
        "adapter": {
            "sha256": card.files["adapter.safetensors"].sha256,
            "method": card.method,
            "task": card.task,
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
