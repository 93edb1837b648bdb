"""Adapter folder + base -> a plain Hugging Face model folder, with a certificate that it computes the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from lorafit.adapters import BaseChoice, check_base, read_adapter, where_base
from lorafit.errors import DropArgument, RecipeError, lookup
from lorafit.files import JsonObject, check_new, new_folder, write_json
from lorafit.imports import importing
from lorafit.interop.low_memory import low_memory
from lorafit.interop.models import MODEL_WRITERS, AnswersProof, Onto, Proof, WeightsProof
from lorafit.interop.models.source import MergeSource
from lorafit.run.provenance import provenance

CERTIFICATE_FILE = "merge.json"
DEFAULT_FORMAT = next(iter(MODEL_WRITERS))
FORWARD_BYTES = 2 * 10**9
"""A base of less is also proven by its answers, unless another proof is asked for."""


@dataclass(frozen=True)
class MergeResult:
    """The new folder, its size, what is proven of it, and what to know about the base. `answers`: None where only the
    weights were proven."""

    folder: Path
    num_bytes: int
    weights: WeightsProof
    answers: AnswersProof | None
    notes: list[str]


def merge(
    folder: Path,
    output: Path,
    base: BaseChoice,
    dtype: str | None = None,
    max_shard_bytes: int | None = None,
    format_name: str = DEFAULT_FORMAT,
    proof: Proof | None = None,
    onto: Onto | None = None,
) -> MergeResult:
    """Write the merged model to the new folder `output`, and prove it; without a proof, no folder is left.

    `dtype` is the name of a number format, `max_shard_bytes` the size of the largest file; None keeps the base's.
    `proof`: every tensor against the merge in float64 (weights), and the answers on a few inputs too (forward); None
    takes forward for a base of less than 2 GB.
    `onto`: for an adapter of a quantised base, whether its update is added to the weights that it was trained on
    (quantized, which None takes) or to those in the base's files (original); how far that moves the answers is measured
    and becomes a note.
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
        if onto == "quantized" and adapter.card.base.quantize is None:
            raise RecipeError(
                f"onto {onto}: {folder} was trained on a base that was not quantised", DropArgument("onto")
            )
        is_moved = adapter.card.base.quantize is not None and onto == "original"
        source = MergeSource.of(adapter, *where_base(adapter, base.base), as_stored=is_moved)
        with new_folder(output) as temporary:
            forward = (
                is_moved
                or proof == "forward"
                or (proof is None and sum(tensor.num_bytes for tensor in source.stored) < FORWARD_BYTES)
            )
            with _in_background(_import_transformers, forward):
                files = writer.write(source, temporary, dtype=dtype, max_shard_bytes=max_shard_bytes)
                with _in_background(partial(_sync, files), True):
                    weights = writer.prove_weights(source, temporary, dtype=dtype)
            answers = writer.prove_answers(source, temporary) if forward else None
            write_json(temporary / CERTIFICATE_FILE, _certificate(source, weights, answers))
    num_bytes = sum(file.stat().st_size for file in output.iterdir())
    notes = [*source.notes, *([_moved_note(source, answers)] if answers and is_moved else [])]
    return MergeResult(output, num_bytes, weights, answers, notes)


def _moved_note(source: MergeSource, answers: AnswersProof) -> str:
    """How far the merged model is from what was trained, beside what the adapter itself does."""
    where = f"{source.adapter.folder}: was trained on a base in {source.adapter.card.base.quantize}"
    if answers.moved is None:
        return f"{where} and merged onto the original weights; no recorded answers tell how far that moves it"
    note = f"{where} and merged onto the original weights: the answers move by up to {answers.moved:.3g}"
    if answers.effect is None:
        return note
    much = ", which is as much as" if answers.moved >= answers.effect else ";"
    return f"{note}{much} the adapter itself changes them by {answers.effect:.3g}"


@contextmanager
def _in_background(work: Callable[[], None], wanted: bool) -> Iterator[None]:
    """Do the work while the block runs, where it is `wanted`. What goes wrong in it is left to whoever needs it."""
    with ThreadPoolExecutor(1) as pool:
        if wanted:
            pool.submit(work)
        yield


def _import_transformers() -> None:
    with importing():
        import_module("transformers.modeling_utils")


def _sync(files: Sequence[Path]) -> None:
    for file in files:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def _certificate(source: MergeSource, weights: WeightsProof, answers: AnswersProof | None) -> JsonObject:
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
            "tensors": weights.num_tensors,
            "max_weight_error": weights.max_error,
            "least_survived": weights.least_survived,
            "answers": answers and asdict(answers),
        },
        "layers": [asdict(layer) for layer in weights.layers],
        "made": {
            key: getattr(made, key) for key in ("created", "lorafit", "torch", "transformers", "commit")
        },
    }
