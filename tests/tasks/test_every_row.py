"""Every row of every file is used, or counted and said with its place, or the file is refused: never anything else."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from lorafit.data import Row
from lorafit.data.readers import READERS
from lorafit.data.sources import FileFormat, Files
from lorafit.errors import DataError
from lorafit.recipe import DataSection
from lorafit.tasks import (
    PRESETS,
    Classification,
    Generation,
    Regression,
    Rows,
    Task,
    load_rows,
    make_data,
    make_task,
)

TASKS = {
    "classes found": make_task("classification"),
    "classes given": make_task("classification", labels=("no", "yes"), label_values="indices", part="part"),
    "scores": make_task("regression", range=(0.0, 5.0)),
    "texts": make_task("generation", prompt="{prompt}-{text}"),
    **{name: make_task(name) for name in ("e2e", "mnli", "stsb")},
}
NAMES = [
    "text",
    "label",
    "prompt",
    "completion",
    "part",
    "split",
    "sentence1",
    "sentence2",
    "gold_label",
    "score",
]

TEXT = st.text(st.characters(), max_size=6) | st.sampled_from(
    ["1", "1.0", " 1 ", "0.9", "-", "test", "all", "\ud83d"]
)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([0, 1, -1, 10**400]) | TEXT
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)
HEADER = st.lists(st.sampled_from(NAMES) | TEXT, max_size=6) | st.just(NAMES)


def tables(cell: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[list[str], list[list[Any]]]]:
    return HEADER.flatmap(
        lambda header: st.tuples(
            st.just(header),
            st.lists(st.lists(cell, min_size=len(header), max_size=len(header) + 1), max_size=4),
        )
    )


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def as_csv(header: list[str], rows: list[list[Any]]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([header, *rows])
    return encoded(stream.getvalue())


def as_tsv(header: list[str], rows: list[list[Any]]) -> bytes:
    return encoded("\n".join("\t".join(map(str, row)) for row in [header, *rows]))


def as_objects(header: list[str], rows: list[list[Any]]) -> list[str]:
    """JSON objects, with keys that occur twice where the header has them."""
    return [
        "{" + ", ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in zip(header, row, strict=False)) + "}"
        for row in rows
    ]


def as_parquet(header: list[str], rows: list[list[Any]]) -> bytes:
    sink = io.BytesIO()
    try:
        columns = [
            pa.array(list(column)) for column in zip(*(row[: len(header)] for row in rows), strict=True)
        ]
        parquet.write_table(pa.Table.from_arrays(columns, names=header[: len(columns)]), sink)
    except (pa.ArrowException, UnicodeError, OverflowError):  # pyarrow itself writes no such table
        return b"PAR1"
    return sink.getvalue()


def as_records(name: str, texts: list[Any]) -> bytes:
    """DART or WebNLG, with these values where a text stands."""
    if name == "dart":
        entries: Any = [
            {"tripleset": [[t, "r", "o"]], "annotations": [{"text": t, "lang": t}, {"text": "a"}]}
            for t in texts
        ]
        return json.dumps(entries).encode()
    texts_of = [
        [{"comment": c, "lex": t, "lang": lang} for c, lang in (("good", "en"), ("good", "ru"), ("bad", ""))]
        for t in texts
    ]
    triple = {"subject": "s", "property": "p", "object": "o"}
    entries = [
        {"1": {"category": "Food", "modifiedtripleset": [triple], "lexicalisations": each}}
        for each in texts_of
    ]
    return json.dumps({"entries": entries}).encode()


def contents(name: str) -> st.SearchStrategy[bytes]:
    """Files of a format, whole and spoilt."""
    match name:
        case "csv":
            whole = tables(TEXT).map(lambda table: as_csv(*table))
        case "tsv":
            whole = tables(TEXT).map(lambda table: as_tsv(*table))
        case "jsonl":
            whole = tables(VALUE).map(lambda table: "\n".join(as_objects(*table)).encode())
        case "json":
            whole = tables(VALUE).map(lambda table: ("[" + ",\n".join(as_objects(*table)) + "]").encode())
        case "parquet":
            whole = tables(SCALAR).map(lambda table: as_parquet(*table))
        case "e2e":
            line = st.lists(TEXT, max_size=3).map("||".join)
            whole = st.lists(line, max_size=4).map(lambda lines: encoded("\n".join(lines)))
        case _:
            whole = st.lists(VALUE, max_size=3).map(lambda texts: as_records(name, texts))
    spoilt = [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n") + b"\r\n\r\n",
        lambda content: content.replace(b"\n", b"\r"),
        lambda content: content[: len(content) // 2],
        lambda content: content + content,
        gzip.compress,
    ]
    return st.one_of(whole, whole, *(whole.map(change) for change in spoilt), st.binary(max_size=40))


def num_raw_rows(data: DataSection, path: Path) -> int:
    source = Files({path: ""}, FileFormat(data.format, data.columns))
    return sum(1 for file in source.open() for _ in file.rows)


def num_said(rows: Rows) -> int:
    """The rows that the notes count."""
    return sum(int(re.search(r": (\d+) (?:malformed )?rows? (?:was|were) ", note)[1]) for note in rows.notes)  # type: ignore[index]


def read(task: Task, data: DataSection) -> tuple[Rows | DataError, list[Row]]:
    """The training rows, or the refusal."""
    try:
        rows = load_rows(task, data)
        return rows, rows.rows("train")
    except DataError as error:
        return error, []


@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
@pytest.mark.parametrize("name", READERS)
def test_every_row_is_used_or_counted_or_the_file_is_refused(
    name: str, on_bad_row: str, tmp_path: Path
) -> None:
    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck), database=None)
    @given(content=contents(name))
    def check(content: bytes) -> None:
        path = tmp_path / "rows"
        path.write_bytes(content)
        for task in TASKS.values():
            data = make_data(task.name, train=str(path)).model_copy(
                update={"format": name, "on_bad_row": on_bad_row}
            )
            rows, used = read(task, data)
            if isinstance(rows, DataError):
                assert all(line.isprintable() for line in rows.message.split("\n"))
                assert str(path) in rows.message or rows.message.startswith("[")
                continue
            assert len(used) + num_said(rows) == num_raw_rows(data, path)
            for row in used:
                json.dumps(row.to_json(), ensure_ascii=False).encode("utf-8")

    check()


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
    folder: Path, name: str, values: list[str], keys: dict[str, Any] | None = None, **options: Any
) -> Rows:
    path = folder / f"train.{name}"
    path.write_bytes(in_format(name, values))
    kind = "regression" if "range" in options else "classification"
    return load_rows(make_task(kind, **options), make_data(kind, train=str(path), **(keys or {})))


@pytest.mark.parametrize("name", ["csv", "tsv", "json", "jsonl", "parquet"])
@pytest.mark.parametrize("value", ["1", "1.0", '"1"', '"1.0"', "1e0", '" 1 "', '"1e0"', '"01"'])
def test_a_whole_number_in_any_spelling_is_that_class(name: str, value: str, tmp_path: Path) -> None:
    zero = {"parquet": '"0"' if value.startswith('"') else "0"}.get(name, "0")
    for options in ({"labels": ("no", "yes"), "label_values": "indices"}, {"labels": ("0", "1")}, {}):
        rows = labelled(tmp_path, name, [value, zero, value], **options)
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
        labelled(tmp_path, name, ["1", value, "0"], **options).rows("train")
    rows = labelled(tmp_path, name, ["1", value, "0"], {"on_bad_row": "skip"}, **options)
    assert [row.label for row in rows.rows("train")] == [1, 0]  # type: ignore[union-attr]
    assert f"1 malformed row was skipped (line {line}); 2 are left" in rows.notes[0]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", "true", '"1_0"', '"nan"', "[1]", "9" * 400])
def test_what_is_no_score(value: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.jsonl:1: label .* is not a number"):
        labelled(tmp_path, "jsonl", [value, "2"], range=None).rows("train")


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


def test_every_kind_of_task_is_tried_here() -> None:
    assert {type(task) for task in TASKS.values()} == {Classification, Generation, Regression}
    assert TASKS.keys() & PRESETS.keys()
