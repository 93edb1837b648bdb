"""DART 1.1.1 (Nan et al. 2021): sets of triples and the sentences that say them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from lorafit.data.originals import ORIGINALS
from lorafit.data.rows import TextRow
from lorafit.metrics.scorers import SCORERS
from lorafit.tasks.base import GenerationTask
from lorafit.tasks.records import Record, read_records

Triple = tuple[str, str, str]


class _Annotation(Record):
    text: str


class _Entry(Record):
    tripleset: tuple[Triple, ...]
    annotations: tuple[_Annotation, ...]


_FILE = TypeAdapter(tuple[_Entry, ...])
_SHAPE = 'a list of {"tripleset": [[subject, relation, object], ...], "annotations": [{"text": ...}, ...]}'


@dataclass(frozen=True, kw_only=True)
class Dart(GenerationTask):
    """A pair for every annotation of every triple set, whatever its source (paper's format_converting_dart.py)."""

    def read_file(self, path: Path) -> list[TextRow]:
        """All pairs. Raises NotFoundError that names file and entry."""
        return [
            TextRow(dart_context(entry.tripleset), annotation.text)
            for entry in read_records(path, _FILE, _SHAPE)
            for annotation in entry.annotations
        ]


def dart_context(triples: Sequence[Triple]) -> str:
    """((s, r, o), ...) -> "s : r : o | s : r : o"; the relation is lower-cased, as the paper's code does."""
    return " | ".join(f"{s} : {r.lower()} : {o}" for s, r, o in triples)


DART_TASK = Dart(
    name="dart",
    headline="bleu",
    original=ORIGINALS["dart"],
    scorer=SCORERS["generation-eval"],
    num_train_rows=62_659,
)
