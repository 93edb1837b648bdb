"""Every cell means one thing, the same in every format, or its row is a bad one."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from lorafit.data import TextRow
from lorafit.errors import DataError
from lorafit.tasks import Rows, group_references, load_rows, make_data, make_task
from tests.support.row_files import as_csv, as_parquet, as_tsv

# ---- labels


def in_format(name: str, values: list[str]) -> bytes:
    """Rows whose label is a JSON value, in a format."""
    cells = [json.loads(value) for value in values]
    match name:
        case "csv":
            return as_csv(["text", "label"], [[f"t{i}", cell] for i, cell in enumerate(cells)])
        case "tsv":
            return as_tsv(["text", "label"], [[f"t{i}", cell] for i, cell in enumerate(cells)])
        case "parquet":
            sink = io.BytesIO()
            parquet.write_table(
                pa.table({"text": [f"t{i}" for i in range(len(cells))], "label": cells}), sink
            )
            return sink.getvalue()
    lines = [f'{{"text": "t{i}", "label": {value}}}' for i, value in enumerate(values)]
    return ("[" + ",\n".join(lines) + "]" if name == "json" else "\n".join(lines)).encode()


def labelled(
    folder: Path, name: str, values: list[str], options: Mapping[str, Any] | None = None, **keys: Any
) -> Rows:
    """Rows with these labels; `options` are those of the task, `keys` those of `[data]`."""
    path = folder / f"train.{name}"
    path.write_bytes(in_format(name, values))
    return load_rows(
        make_task("classification", **(options or {})), make_data("classification", train=str(path), **keys)
    )


@pytest.mark.parametrize("name", ["csv", "tsv", "json", "jsonl", "parquet"])
@pytest.mark.parametrize("value", ["1", "1.0", '"1"', '"1.0"', "1e0", '" 1 "', '"1e0"', '"01"'])
def test_a_whole_number_in_any_spelling_is_that_class(name: str, value: str, tmp_path: Path) -> None:
    zero = {"parquet": '"0"' if value.startswith('"') else "0"}.get(name, "0")
    for options in ({"labels": ("no", "yes"), "label_values": "indices"}, {"labels": ("0", "1")}, {}):
        rows = labelled(tmp_path, name, [value, zero, value], options)
        assert [row.label for row in rows.rows("train")] == [1, 0, 1]  # type: ignore[union-attr]
        assert options or rows.task.labels in (("0", "1"), ("0", "01"))


@pytest.mark.parametrize("name", ["csv", "tsv", "json", "jsonl"])
@pytest.mark.parametrize(
    "value",
    ["0.9", "1.7", "-0.5", "-1", "2", "NaN", "Infinity", "1e400", "true", "false", '""', "null", "9" * 400],
)
def test_anything_else_is_a_bad_row_with_the_labels_there_are(name: str, value: str, tmp_path: Path) -> None:
    options = {"labels": ("no", "yes"), "label_values": "indices"}
    line = 3 if name in ("csv", "tsv") else 2
    with pytest.raises(DataError, match=rf"train\.{name}:{line}: label .* is none of no \(0\), yes \(1\)"):
        labelled(tmp_path, name, ["1", value, "0"], options).rows("train")
    rows = labelled(tmp_path, name, ["1", value, "0"], options, on_bad_row="skip")
    assert [row.label for row in rows.rows("train")] == [1, 0]  # type: ignore[union-attr]
    assert f"1 malformed row was skipped (line {line}); 2 are left" in rows.notes[0]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", "true", '"1_0"', '"nan"', "[1]", "9" * 400])
def test_what_is_no_score(value: str, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(in_format("jsonl", [value, "2"]))
    rows = load_rows(make_task("regression"), make_data("regression", train=str(path)))
    with pytest.raises(DataError, match=r"train\.jsonl:1: label .* is not a number"):
        rows.rows("train")


def test_minus_one_is_a_score_where_the_task_has_it(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_bytes(in_format("csv", ["-1", "0.5", '""']))
    for scale, found in (
        ((-1.0, 1.0), [-1, 0.5, None]),
        ((0.0, 1.0), [None, 0.5, None]),
        (None, [-1, 0.5, None]),
    ):
        task = make_task("regression", range=scale)
        rows = load_rows(task, make_data("regression", test=str(path))).rows("test")
        assert [row.label for row in rows] == found  # type: ignore[union-attr]


def test_a_name_that_is_a_number_means_one_class(tmp_path: Path) -> None:
    rows = labelled(tmp_path, "jsonl", ["3", '"3"', "5.0", "5", '"5.0"', "4.5", '"4.50"', '" 3"'])
    assert rows.task.labels == ("3", "4.5", "5")
    assert [row.label for row in rows.rows("train")] == [0, 0, 2, 2, 2, 1, 1, 0]  # type: ignore[union-attr]
    assert labelled(tmp_path, "csv", ['"007"', '"008"']).task.labels == ("007", "008")
    assert labelled(tmp_path, "csv", ['"007"', '"008"', "7"]).task.labels == ("7", "008")


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        (['"-"', '"a"', '"b"'], "-"),
        (["0", "1", "-1"], "-1"),
        (["0", "1", "0.9"], "0.9"),
        (["0", "1", "true"], "true"),
        (['"NaN"', '"b"'], "NaN"),
    ],
)
def test_a_class_that_could_mean_that_there_is_none_is_refused(
    tmp_path: Path, values: list[str], mark: str
) -> None:
    with pytest.raises(
        DataError, match=rf"'{mark}' in the column 'label' may be a class .* set task\.labels"
    ):
        labelled(tmp_path, "jsonl", values)


def test_a_row_that_cannot_be_used_brings_no_class(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    bad = {"text": "half \ud83d", "label": "c"}
    path.write_text(
        "\n".join(json.dumps(row) for row in [{"text": "x", "label": "a"}, bad, {"text": "y", "label": "b"}])
    )
    rows = load_rows(
        make_task("classification"), make_data("classification", train=str(path), on_bad_row="skip")
    )
    assert rows.task.labels == ("a", "b")
    assert len(rows.rows("train")) == 2


def test_labels_that_are_one_in_two_spellings_are_no_classes() -> None:
    with pytest.raises(ValueError, match="each with a name of its own"):
        make_task("classification", labels=("1", "1.0"))


# ---- what could be meant twice


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("csv", b"text,label,text\na,1,b\n", ":1: the column 'text' occurs twice"),
        ("tsv", b"text\tlabel\tlabel \na\t1\t2\n", ":1: the column 'label' occurs twice"),
        (
            "parquet",
            as_parquet(["text", "label", " text"], [["a", "1", "b"]]),
            ": the column 'text' occurs twice",
        ),
        (
            "jsonl",
            b'{"text": "a", "label": 1}\n{"text": "a", "label": 1, "label": 0}',
            ":2: the key 'label' occurs twice",
        ),
        ("json", b'[{"text": "a",\n"label": 1},\n{"a": {"b": 1, "b": 1}}]', ":3: the key 'b' occurs twice"),
        (
            "dart",
            b'[{"tripleset": [],\n"annotations": [{"text": "}",\n"text": "b"}]}]',
            ":3: the key 'text' occurs twice",
        ),
        ("webnlg", b'{"entries": [\n{"1": {}, "1": {}}]}', ":2: the key '1' occurs twice"),
    ],
)
def test_a_name_that_occurs_twice_is_refused_by_name(
    name: str, content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows"
    path.write_bytes(content)
    data = make_data("classification", train=str(path)).model_copy(update={"format": name})
    for on_bad_row in ("error", "skip"):
        with pytest.raises(DataError) as caught:
            load_rows(make_task("classification"), data.model_copy(update={"on_bad_row": on_bad_row})).rows(
                "train"
            )
        if (name, on_bad_row) != ("jsonl", "skip"):  # there it is a bad row
            assert f"{path}{words}" in str(caught.value)


# ---- texts, and rows of other kinds


def test_text_that_is_no_text_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    values = ["half \ud83d", None, True, ["a"], {"a": 1}, math.nan, "good"]
    path.write_text("\n".join(json.dumps({"prompt": value, "completion": "b"}) for value in values))
    rows = load_rows(make_task("generation"), make_data("generation", train=str(path), on_bad_row="skip"))
    assert [row.to_json()["context"] for row in rows.rows("train")] == ["good"]
    assert rows.notes == [f"{path}: 6 malformed rows were skipped (lines 1, 2, 3, 4, 5, 6); 1 are left"]
    with pytest.raises(DataError, match=r":1: prompt: holds half a surrogate pair"):
        load_rows(make_task("generation"), make_data("generation", train=str(path))).rows("train")


def test_a_byte_order_mark_splits_no_group_of_references(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("name : A||one\nname : A||two\n" * 2, encoding="utf-8-sig")
    rows = load_rows(make_task("e2e"), make_data("e2e", train=str(path))).rows("train")
    assert [
        group.references for group in group_references([row for row in rows if isinstance(row, TextRow)])
    ] == [("one", "two", "one", "two")]


def test_a_prompt_that_is_the_completion_is_refused() -> None:
    with pytest.raises(ValueError, match="'prompt' and 'completion' are the same text 'a'"):
        make_task("generation", prompt="a", completion="{a}")


def test_rows_of_another_split_are_never_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text(
        "prompt,completion,split\n" + "".join(f"p{i},c,{s}\n" for i, s in enumerate(["train", "dev", "test"]))
    )
    with pytest.raises(DataError, match=r"all\.csv:3: split is 'dev', and this is the train split"):
        load_rows(make_task("generation"), make_data("generation", train=str(path))).rows("train")
    data = make_data("generation", train=str(path), valid=str(path), on_bad_row="skip")
    rows = load_rows(make_task("generation"), data)
    assert [len(rows.rows(split)) for split in rows.splits] == [1, 1]
    assert [note.partition(": ")[2] for note in rows.notes] == [
        "2 malformed rows were skipped (lines 3, 4); 1 are left",
        "2 malformed rows were skipped (lines 2, 4); 1 are left",
    ]
    by_split = make_task("generation", part="split")
    assert len(load_rows(by_split, make_data("generation", train=str(path))).rows("train")) == 3


def test_a_label_on_which_the_annotators_did_not_agree_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    row = {"sentence1": "a", "sentence2": "b", "annotator_labels": ["neutral"]}
    path.write_text("\n".join(json.dumps(row | {"gold_label": label}) for label in ("neutral", "-")))
    with pytest.raises(DataError, match=r":2: label '-' is none of entailment \(0\), neutral \(1\)"):
        load_rows(make_task("mnli"), make_data("mnli", train=str(path), format="jsonl")).rows("train")
