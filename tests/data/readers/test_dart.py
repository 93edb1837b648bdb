"""DART: a pair for every annotation, relations lower-cased, faults named by entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lorafit.data import TextRow
from lorafit.errors import DataError
from lorafit.tasks import group_references
from tests.support.rows import read_texts, rows_of

ENTRY = {
    "tripleset": [["Mars Hill College", "JOINED", "1973"], ["Mars Hill College", "LOCATION", "Mars Hill"]],
    "subtree_was_extended": True,
    "annotations": [{"source": "WikiSQL_decl_sents", "text": "A school joined in 1973."}],
}


def read(folder: Path, content: Any) -> list[TextRow]:
    path = folder / "train.json"
    path.write_text(json.dumps(content))
    return read_texts("dart", path)


def test_a_pair_for_every_annotation_of_whatever_source(tmp_path: Path) -> None:
    second = {"source": "WikiTableQuestions_mturk", "text": ""}
    entry = ENTRY | {"annotations": [*ENTRY["annotations"], second]}  # type: ignore[misc]
    context = "Mars Hill College : joined : 1973 | Mars Hill College : location : Mars Hill"
    assert read(tmp_path, [entry]) == [TextRow(context, "A school joined in 1973."), TextRow(context, "")]


def test_the_same_triples_in_two_entries_are_one_context(tmp_path: Path) -> None:
    other = ENTRY | {"annotations": [{"text": "In 1973 a school joined."}]}
    [group] = group_references(read(tmp_path, [ENTRY, other]))
    assert group.references == ("A school joined in 1973.", "In 1973 a school joined.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([ENTRY, {"annotations": []}], r"train\.json: entry 2, tripleset: is missing; expected a list of"),
        ([ENTRY | {"tripleset": [["a", "b"]]}], r"entry 1, tripleset\[0\]\[2\]: is missing"),
        ([ENTRY | {"tripleset": [["a", "b", None]]}], r"entry 1, tripleset\[0\]\[2\]: should be a string"),
        ([ENTRY, 3], r"train\.json: entry 2, should be an object; expected a list of"),
        ({"entries": []}, r"train\.json: should be a list"),
        ([ENTRY | {"annotations": [{"source": "x"}]}], r"entry 1, annotations\[0\]\.text: is missing"),
    ],
)
def test_a_file_of_another_structure(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert bool(caught.value.remedies) == ("should be a list" not in message)  # a bad row can be skipped


def test_a_file_that_is_not_json(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text('[\n{"tripleset": [}\n]')
    with pytest.raises(DataError, match=r"train\.json:2: not valid JSON"):
        read_texts("dart", path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe["])
def test_an_empty_file_and_one_of_other_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train\.json: (is empty|not UTF-8)"):
        read_texts("dart", path)


def test_a_malformed_entry_is_left_out_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([ENTRY, {"annotations": []}, ENTRY, 3]))
    rows = rows_of("dart", train=str(path), on_bad_row="skip")
    assert len(rows.rows("train")) == 2
    assert rows.notes == [f"{path}: 2 malformed rows were skipped (entries 2, 4); 2 are left"]


def test_an_entry_without_texts_and_a_text_in_another_language_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    other = {"annotations": [{"text": "x", "lang": "de"}]}
    path.write_text(json.dumps([ENTRY, ENTRY | {"annotations": []}, ENTRY | other]))
    rows = rows_of("dart", train=str(path))
    assert len(rows.rows("train")) == 1
    assert [note.partition(": ")[2] for note in rows.notes] == [
        "1 row was left out: no text (entry 2)",
        "1 row was left out: lang is 'de' (entry 3)",
    ]
