"""WebNLG challenge 2017 (Gardent et al. 2017): DBpedia triples and the sentences that say them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from pydantic import TypeAdapter

from lorafit.data.cells import shown
from lorafit.data.readers.base import Reader
from lorafit.data.readers.records import Record, Text, fault_of_language, parse_entry, read_document
from lorafit.data.rows import RawRow
from lorafit.errors import DataError

# The categories of the training split; five more are in the test split alone (Artist, Athlete, CelestialBody,
# MeanOfTransportation, Politician). The paper's text says nine and five, its code and the data have ten.
SEEN_CATEGORIES = frozenset(
    (
        "Airport",
        "Astronaut",
        "Building",
        "City",
        "ComicsCharacter",
        "Food",
        "Monument",
        "SportsTeam",
        "University",
        "WrittenWork",
    )
)
UNSEEN_CATEGORIES = frozenset(("Artist", "Athlete", "CelestialBody", "MeanOfTransportation", "Politician"))


class Triple(Record):
    """An edge of the graph."""

    subject: Text
    property: Text
    object: Text


class _Lexicalisation(Record):
    comment: Text
    lex: Text
    lang: object = None


class _Entry(Record):
    category: Text
    modifiedtripleset: tuple[Triple, ...]
    lexicalisations: tuple[_Lexicalisation, ...]


_ENTRY = TypeAdapter(_Entry)
_SHAPE = (
    '{"entries": [{"1": {"category": ..., "modifiedtripleset": [{"subject", "property", "object"}, ...], '
    '"lexicalisations": [{"comment", "lex"}, ...]}}, ...]}'
)


@dataclass(frozen=True)
class WebNLG(Reader):
    """The original WebNLG files: a row for every English text that the annotators called good
    (paper's format_converting_webnlg.py); fields `prompt` and `completion`, in the parts "seen" and "unseen"."""

    name: ClassVar[str] = "webnlg"
    unit: ClassVar[tuple[str, str]] = ("entry", "entries")

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row a good text; its number is that of the entry."""
        document = read_document(stream, where)
        entries = document.get("entries") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"{where}: has no list of entries; expected {_SHAPE}")
        for number, numbered in enumerate(entries, start=1):
            if isinstance(numbered, dict) and numbered:
                for value in numbered.values():  # an object of one key, the entry's own number
                    yield from _rows(number, value)
            else:
                yield RawRow(number, {}, f"should be an object; expected {_SHAPE}")


def _rows(number: int, value: object) -> Iterator[RawRow]:
    try:
        entry = parse_entry(_ENTRY, value, _SHAPE)
    except ValueError as error:
        yield RawRow(number, {}, str(error))
        return
    if entry.category not in SEEN_CATEGORIES | UNSEEN_CATEGORIES:
        yield RawRow(number, {}, f"category {shown(entry.category)} is none of WebNLG 2017")
        return
    prompt, part = webnlg_context(entry.modifiedtripleset), webnlg_part(entry.category)
    for text in entry.lexicalisations:
        fault = "" if text.comment == "good" else f"comment is {shown(text.comment)}"
        if fault := fault or fault_of_language(text.lang):
            yield RawRow(number, {}, fault, left_out=True)
        else:
            yield RawRow(number, {"prompt": prompt, "completion": text.lex}, part=part)
    if not entry.lexicalisations:
        yield RawRow(number, {}, "no text", left_out=True)


def webnlg_context(triples: Sequence[Triple]) -> str:
    """ "s : p : o | s : p : o", underscores and case as they are."""
    return " | ".join(f"{t.subject} : {t.property} : {t.object}" for t in triples)


def webnlg_part(category: str) -> str:
    """Whether the training split has texts of this category."""
    return "seen" if category in SEEN_CATEGORIES else "unseen"
