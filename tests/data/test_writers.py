"""What is written is what is read again, or is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from lorafit.data.sources import Files
from lorafit.data.writers import WRITERS, write_rows
from lorafit.errors import DataError, RecipeError

ROWS: list[dict[str, Any]] = [
    {"id": "1", "text": 'Ä "quoted" text, with a comma', "prediction": "good"},
    {"id": "2", "text": " spaces ", "prediction": "bad"},
    {"id": "", "text": "x", "prediction": "𝄞"},
]


def read(path: Path) -> list[dict[str, Any]]:
    [file] = Files({path: ""}).open()
    rows = list(file.rows)
    assert not any(row.fault for row in rows)
    return [dict(row.fields) for row in rows]


@pytest.mark.parametrize("suffix", [s + z for s in WRITERS for z in ("", ".gz")])
def test_texts_come_out_as_they_went_in(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(write_rows(path, ROWS))
    assert read(path) == ROWS
    assert write_rows(path, ROWS) == path.read_bytes()


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_numbers_lists_and_nothing_keep_their_types(suffix: str, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"a": 1, "b": 0.1, "c": ["x", "y"], "d": None, "e": True, "f": {"bad": 0.25, "good": 0.75}},
        {"a": 2, "b": 1e-9, "c": [], "d": "", "e": False, "f": {"bad": 1.0, "good": 0.0}},
    ]
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(write_rows(path, rows))
    assert read(path) == rows


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_table_spells_in_json_what_is_no_text(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{suffix}"
    rows: list[dict[str, Any]] = [
        {"a": 1, "b": ["x"]},
        {"a": None, "c": {"good": 0.5}},
        {"b": True, "c": 0.1},
    ]
    path.write_bytes(write_rows(path, rows))
    assert read(path) == [
        {"a": "1", "b": '["x"]', "c": ""},
        {"a": "", "b": "", "c": '{"good": 0.5}'},
        {"a": "", "b": "true", "c": "0.1"},
    ]


def test_json_has_times_as_texts_and_no_number_as_null(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"when": dt.date(2024, 2, 29), "x": float("nan"), "half": "\ud800"}]
    path.write_bytes(write_rows(path, rows))
    assert path.read_text() == '{"when": "2024-02-29", "x": null, "half": "\\ud800"}\n'


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("a.tsv", {"a": "x\ty"}, "a.tsv: row 2: 'x\\ty' has a tab or a line break, which tsv cannot hold"),
        ("a.tsv", {"a": "x\ny"}, "a.tsv: row 2: "),
        ("a.jsonl", {"a": b"x"}, "a.jsonl: row 2: a is b'x', which JSON cannot hold"),
        ("a.jsonl", {"a": float("inf")}, "a.jsonl: row 2: a is inf"),
        ("a.csv", {"a": b"x"}, "a.csv: row 2: a is b'x'"),
        ("a.csv", {"a": "\ud800"}, "a.csv: a text holds half a surrogate pair"),
        ("a.parquet", {"a": 1}, "a.parquet: a column of these rows has no type that parquet knows"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(name: str, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        write_rows(Path(name), [{"a": "fine"}, row])
    assert str(caught.value).startswith(said)
    assert "choose another `output`" in str(caught.value)


def test_an_unknown_suffix_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"it must be one of .jsonl, .ndjson, .csv, .tsv, .parquet"):
        write_rows(Path("rows.xlsx"), ROWS)
