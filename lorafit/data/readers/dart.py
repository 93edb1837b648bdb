"""DART 1.1.1 (Nan et al. 2021): sets of triples and the sentences that say them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from pydantic import TypeAdapter

from lorafit.data.readers.base import Reader
from lorafit.data.readers.records import Record, Text, fault_of_language, parse_entry, read_document
from lorafit.data.rows import RawRow
from lorafit.errors import DataError

Triple = tuple[Text, Text, Text]


class _Annotation(Record):
    text: Text
    lang: object = None


class _Entry(Record):
    tripleset: tuple[Triple, ...]
    annotations: tuple[_Annotation, ...]


_ENTRY = TypeAdapter(_Entry)
_SHAPE = 'a list of {"tripleset": [[subject, relation, object], ...], "annotations": [{"text": ...}, ...]}'


@dataclass(frozen=True)
class Dart(Reader):
    """The original DART files: a row for every annotation of every triple set, whatever its source (paper's
    format_converting_dart.py), in English; fields `prompt` and `completion`."""

    name: ClassVar[str] = "dart"
    unit: ClassVar[tuple[str, str]] = ("entry", "entries")

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row an annotation; its number is that of the entry."""
        entries = read_document(stream, where)
        if not isinstance(entries, list):
            raise DataError(f"{where}: should be a list; expected {_SHAPE}")
        for number, value in enumerate(entries, start=1):
            try:
                entry = parse_entry(_ENTRY, value, _SHAPE)
            except ValueError as error:
                yield RawRow(number, {}, str(error))
                continue
            prompt = dart_context(entry.tripleset)
            for annotation in entry.annotations:
                if fault := fault_of_language(annotation.lang):
                    yield RawRow(number, {}, fault, left_out=True)
                else:
                    yield RawRow(number, {"prompt": prompt, "completion": annotation.text})
            if not entry.annotations:
                yield RawRow(number, {}, "no text", left_out=True)


def dart_context(triples: Sequence[Triple]) -> str:
    """((s, r, o), ...) -> "s : r : o | s : r : o"; the relation is lower-cased, as the paper's code does."""
    return " | ".join(f"{s} : {r.lower()} : {o}" for s, r, o in triples)
