"""WebNLG: texts called good, seen and unseen categories, faults named by entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lorafit.data import TextRow
from lorafit.data.readers.webnlg import SEEN_CATEGORIES
from lorafit.errors import DataError
from lorafit.tasks import group_references
from tests.support.rows import read_texts, rows_of


def entry(category: str, *texts: tuple[str, str], triples: int = 1) -> dict[str, Any]:
    triple = {"subject": "Aarhus_Airport", "property": "runwayLength", "object": "2702.0"}
    lexicalisations = [{"comment": comment, "lang": "", "lex": lex} for comment, lex in texts]
    return {
        "category": category,
        "modifiedtripleset": [triple] * triples,
        "lexicalisations": lexicalisations,
        "originaltriplesets": {"originaltripleset": [[triple | {"property": "other"}]]},
        "size": "1",
    }


def read(folder: Path, *entries: Any) -> list[TextRow]:
    path = folder / "train.json"
    path.write_text(json.dumps({"entries": [{str(i): e} for i, e in enumerate(entries, start=1)]}))
    return read_texts("webnlg", path)


def test_only_texts_that_are_good_and_nothing_changed_in_them(tmp_path: Path) -> None:
    pairs = read(
        tmp_path, entry("Airport", ("toFix", "bad"), ("good", " It is 2702.0. "), ("", "no"), triples=2)
    )
    triple = "Aarhus_Airport : runwayLength : 2702.0"
    assert pairs == [TextRow(f"{triple} | {triple}", " It is 2702.0. ", "seen")]


def test_ten_categories_are_seen() -> None:
    assert len(SEEN_CATEGORIES) == 10


def test_the_part_of_a_context_comes_from_its_category(tmp_path: Path) -> None:
    pairs = read(tmp_path, entry("Artist", ("good", "a")), entry("Astronaut", ("good", "b"), triples=2))
    assert [group.part for group in group_references(pairs)] == ["unseen", "seen"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("category", None, "entry 2, category: should be a string"),
        (
            "modifiedtripleset",
            [{"subject": "a", "object": "b"}],
            r"entry 2, modifiedtripleset\[0\].property: is missing",
        ),
        ("lexicalisations", "text", "entry 2, lexicalisations: should be a list"),
    ],
)
def test_an_entry_of_another_structure(tmp_path: Path, key: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"train\.json: {message}"):
        read(tmp_path, entry("Airport", ("good", "a")), entry("Airport", ("good", "a")) | {key: value})


def test_a_file_without_entries(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text("[]")
    with pytest.raises(DataError, match=r'train\.json: .*; expected \{"entries"'):
        read_texts("webnlg", path)


def test_texts_of_other_kinds_than_the_papers_are_left_out_with_a_count(tmp_path: Path) -> None:
    english = entry("Airport", ("good", "a"), ("toFix", "b"), ("toFix", "c"))
    english["lexicalisations"][0]["lang"] = "en"
    russian = entry("Airport", ("good", "d"), ("good", "e"))
    russian["lexicalisations"][0]["lang"] = "ru"
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"entries": [{"1": english}, {"2": russian}, {"3": entry("Food")}]}))
    rows = rows_of("webnlg", train=str(path))
    assert [row.to_json()["completion"] for row in rows.rows("train")] == ["a", "e"]
    assert rows.notes == [
        f"{path}: 2 rows were left out: comment is 'toFix' (entries 1, 1)",
        f"{path}: 1 row was left out: lang is 'ru' (entry 2)",
        f"{path}: 1 row was left out: no text (entry 3)",
    ]


def test_a_file_of_other_kinds_only(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"not one usable row \(0 malformed, 1 left out: comment is 'toFix'\)"
    ):
        read(tmp_path, entry("Food", ("toFix", "a")))


@pytest.mark.parametrize("value", [{}, {"1": entry("Film", ("good", "a"))}])
def test_an_entry_that_is_none_of_the_papers(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"entries": [{"1": entry("Food", ("good", "a"))}, value]}))
    with pytest.raises(
        DataError, match=r"entry 2, (should be an object|category 'Film' is none of WebNLG 2017)"
    ):
        read_texts("webnlg", path)
