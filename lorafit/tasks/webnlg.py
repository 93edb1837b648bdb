"""WebNLG challenge 2017 (Gardent et al. 2017): DBpedia triples and the sentences that say them."""

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


class Triple(Record):
    """An edge of the graph."""

    subject: str
    property: str
    object: str


class _Lexicalisation(Record):
    comment: str
    lex: str


class _Entry(Record):
    category: str
    modifiedtripleset: tuple[Triple, ...]
    lexicalisations: tuple[_Lexicalisation, ...]


class _File(Record):
    entries: tuple[dict[str, _Entry], ...]  # each with one key, its own number


_FILE = TypeAdapter(_File)
_SHAPE = (
    '{"entries": [{"1": {"category": ..., "modifiedtripleset": [{"subject", "property", "object"}, ...], '
    '"lexicalisations": [{"comment", "lex"}, ...]}}, ...]}'
)


@dataclass(frozen=True, kw_only=True)
class WebNLG(GenerationTask):
    """A pair for every text that the annotators called good (paper's format_converting_webnlg.py)."""

    def read_file(self, path: Path) -> list[TextRow]:
        """All pairs, their part being "seen" or "unseen". Raises NotFoundError that names file and entry."""
        return [
            TextRow(webnlg_context(entry.modifiedtripleset), text.lex, webnlg_part(entry.category))
            for numbered in read_records(path, _FILE, _SHAPE).entries
            for entry in numbered.values()
            for text in entry.lexicalisations
            if text.comment == "good"
        ]


def webnlg_context(triples: Sequence[Triple]) -> str:
    """ "s : p : o | s : p : o", underscores and case as they are."""
    return " | ".join(f"{t.subject} : {t.property} : {t.object}" for t in triples)


def webnlg_part(category: str) -> str:
    """Whether the training split has texts of this category."""
    return "seen" if category in SEEN_CATEGORIES else "unseen"


WEBNLG_TASK = WebNLG(
    name="webnlg",
    headline="all.bleu",
    original=ORIGINALS["webnlg"],
    scorer=SCORERS["generation-eval"],
    num_train_rows=18_025,
)
