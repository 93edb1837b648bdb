"""The same rows from every format; what is no row, and what is no file of the format, by line."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from lorafit.data import RawRow
from lorafit.data.readers import READERS, known_suffixes, reader_for
from lorafit.data.readers.text import read_lines, read_text
from lorafit.data.sources import FileFormat, Files
from lorafit.errors import DataError, RecipeError
from lorafit.recipe import DataSection
from lorafit.recipe.reference import meanings

COLUMNS = ("text", "label", "other name")
# Without CR, NUL and halves of surrogate pairs; csv's own reader changes them, or no file can hold them.
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=12)
LINE_CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\t\0"), max_size=12)


def rows(path: Path, **options: Any) -> list[RawRow]:
    return [row for file in Files({path: ""}, FileFormat(**options)).open() for row in file.rows]


PIECES = st.sampled_from(["a", "b c", "\ufeff", "\r", "\n", "\r\n", " ", "  \n", "é", "\t"])


@given(st.lists(PIECES, max_size=12))
def test_a_file_read_line_by_line_is_its_whole_text(pieces: list[str]) -> None:
    """The rules of readers/text.py, carried out on the whole text."""
    content = "".join(pieces)
    text = re.sub("^\ufeff+", "", content.lstrip("\ufeff").replace("\r\n", "\n"), flags=re.MULTILINE)
    lines = text.split("\n")
    while lines and not lines[-1].strip(" "):
        lines.pop()
    stream = io.BytesIO(content.encode())
    if not lines or ("\r" in text and "\n" not in text):
        with pytest.raises(DataError, match="is empty" if not lines else "CR alone"):
            list(read_lines(stream, "x"))
        return
    found = list(read_lines(stream, "x"))
    assert [line.text for line in found] == lines
    assert [line.number for line in found] == list(range(1, len(lines) + 1))
    assert [bool(line.fault) for line in found] == ["\r" in line for line in lines]
    stream.seek(0)
    assert read_text(stream, "x") == "\n".join(lines)


def parse(name: str, content: bytes, columns: tuple[str, ...] = ()) -> list[RawRow]:
    return list(READERS[name](columns).read(io.BytesIO(content), "x"))


def write(name: str, table: list[dict[str, str]]) -> bytes:
    """A table in a format."""
    match name:
        case "csv":
            stream = io.StringIO(newline="")
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n", quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(table)
            return stream.getvalue().encode()
        case "tsv":
            lines = ["\t".join(COLUMNS), *("\t".join(row[c] for c in COLUMNS) for row in table)]
            return ("\n".join(lines) + "\n").encode()
        case "jsonl":
            return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table).encode()
        case "json":
            return json.dumps(table, indent=1).encode()
        case "parquet":
            sink = io.BytesIO()
            parquet.write_table(pa.Table.from_pylist(table), sink)
            return sink.getvalue()
    raise AssertionError(name)


TABLES = ("csv", "tsv", "jsonl", "json", "parquet")


def test_every_reader_but_the_papers_is_tried_here() -> None:
    assert {*TABLES, "text", "e2e", "dart", "webnlg"} == READERS.keys()


def test_every_format_is_named_where_people_look() -> None:
    description = meanings(DataSection)["format"]
    assert all(f"{name}" in description for name in READERS)


def tables(cell: st.SearchStrategy[str]) -> st.SearchStrategy[list[dict[str, str]]]:
    return st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, cell)), min_size=1, max_size=5)


@pytest.mark.parametrize("name", [name for name in TABLES if name != "tsv"])
@settings(deadline=None)  # pyarrow is imported in the first example
@given(table=tables(CELL))
def test_any_text_comes_back(name: str, table: list[dict[str, str]]) -> None:
    assert [row.fields for row in parse(name, write(name, table))] == table


@given(table=tables(LINE_CELL.map(lambda cell: "x" + cell)))
def test_any_line_comes_back_from_tsv(table: list[dict[str, str]]) -> None:
    assert [row.fields for row in parse("tsv", write("tsv", table))] == table


@pytest.mark.parametrize("name", ["csv", "tsv", "jsonl", "json", "e2e"])
@given(table=tables(LINE_CELL.map(lambda cell: "x" + cell)), blank=st.integers(0, 3))
def test_bom_crlf_and_blank_lines_at_the_end_mean_nothing(
    name: str, table: list[dict[str, str]], blank: int
) -> None:
    content = b"a||b\n" * len(table) if name == "e2e" else write(name, table)
    other = b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") + b"\r\n" * blank
    assert parse(name, other) == parse(name, content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("csv", "{m}a\n{m}1\n{m}2\n"),
        ("tsv", "{m}a\n{m}1\n{m}2\n"),
        ("jsonl", '{m}{{"a": "1"}}\n{m}{{"a": "2"}}\n'),
        ("json", '{m}[{{"a": "1"}},\n{m}{{"a": "2"}}]'),
        ("e2e", "{m}a||1\n{m}a||2\n"),
    ],
)
@pytest.mark.parametrize("mark", ["\ufeff", "\ufeff\ufeff"])
def test_a_byte_order_mark_is_passed_over_wherever_files_were_joined(
    name: str, content: str, mark: str
) -> None:
    marked = parse(name, content.format(m=mark).encode())
    assert marked == parse(name, content.format(m="").encode())
    assert not any(row.fault for row in marked)


@pytest.mark.parametrize("content", ['[{"a": 1}, {"a": 2}]', '[\n{"a": 1},\n{"a": 2}\n]\n'])
def test_an_array_of_objects_is_read_whatever_its_name(content: str) -> None:
    assert parse("jsonl", content.encode()) == parse("json", content.encode())
    assert [row.fields["a"] for row in parse("jsonl", content.encode())] == [1, 2]


def test_a_parquet_cell_that_cannot_be_read_matters_to_nobody_else() -> None:
    broken = pa.Array.from_buffers(
        pa.utf8(), 2, [None, pa.py_buffer(struct.pack("iii", 0, 1, 2)), pa.py_buffer(b"\xffa")]
    )
    sink = io.BytesIO()
    parquet.write_table(
        pa.table({"a": broken, "b": ["x", "y"], "c": pa.array([2**62] * 2, pa.timestamp("us"))}), sink
    )
    found = parse("parquet", sink.getvalue())
    assert [row.fields["b"] for row in found] == ["x", "y"]
    assert found[1].fields["a"] == "a"
    assert repr(found[0].fields["a"]) == "an unreadable string"


@pytest.mark.parametrize("name", TABLES)
def test_a_gzipped_file_is_the_same(name: str, tmp_path: Path) -> None:
    table = [{"text": 'ä, "b"', "label": "1", "other name": "x"}] * 3
    (tmp_path / f"a.{name}").write_bytes(write(name, table))
    (tmp_path / f"a.{name}.gz").write_bytes(gzip.compress(write(name, table)))
    plain = rows(tmp_path / f"a.{name}")
    assert len(plain) == 3
    assert rows(tmp_path / f"a.{name}.gz") == plain
    assert {f".{name}", f".{name}.gz"} <= set(known_suffixes())


def test_lines_are_those_of_the_file() -> None:
    text = 'a,b\n"1\n2",x\n3,y\n"4\n\n",z,zz\n5,w\n'
    assert [(row.line, row.fields.get("b"), bool(row.fault)) for row in parse("csv", text.encode())] == [
        (2, "x", False),
        (4, "y", False),
        (5, None, True),
        (8, "w", False),
    ]
    array = '[\n {"a": 1},\n\n {"a":\n 2}, {"a": 3},\n 4]'
    assert [(row.line, row.fields.get("a")) for row in parse("json", array.encode())] == [
        (2, 1),
        (4, 2),
        (5, 3),
        (6, None),
    ]


def test_an_object_a_line_is_read_from_a_json_file_too() -> None:
    content = b'{"a": 1}\n{"a": 2}\n{'
    assert parse("json", content) == parse("jsonl", content)
    assert parse("json", b'{"a": 1}') == [RawRow(1, {"a": 1})]


def test_a_long_cell() -> None:
    long = "x" * 300_000
    assert parse("csv", f"a\n{long}\n".encode())[0].fields == {"a": long}


def test_columns_of_files_without_header() -> None:
    assert parse("tsv", b"1\t2\n3\t4\n", ("a", "b"))[0].fields == {"a": "1", "b": "2"}
    assert parse("csv", b"1,2\n3,4\n", ("a", "b"))[1].fields == {"a": "3", "b": "4"}
    assert parse("csv", b"c,b\n3,4\n", ("a", "b")) == [
        RawRow(2, {"c": "3", "b": "4"})
    ]  # it has one all the same


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("csv", b"", "x: is empty"),
        ("csv", b"\xef\xbb\xbf\n\n", "x: is empty"),
        ("csv", b"a,b\n", "x: has a header and no rows"),
        ("csv", b'a,b\n1,"2\n3', "x:2: not valid CSV: unexpected end of data"),
        ("csv", b"a,b,a\n1,2,3\n", "x:1: the column 'a' occurs twice"),
        ("csv", b"a,b\n1,\xff\n", "x:2: not UTF-8 text (byte 6)"),
        ("csv", "a,b\n1,2\n".encode("utf-16"), "x: not UTF-8 text: it is UTF-16 text"),
        ("csv", b"PK\x03\x04rest", "it is a zip archive (or a spreadsheet)"),
        ("jsonl", b"<?xml version='1.0'?>", "it is XML"),
        ("csv", b"a,b\r1,2\r", "x: its lines end with CR alone"),
        ("csv", b"a,b\r1,2\n3,4\n", "x:1: not valid CSV: the record holds a CR that ends no line"),
        ("tsv", b"a\rb\n1\n", "x:1: the header holds a CR that ends no line"),
        ("csv", b"\na,b\n1,2\n", "x:1: the header is a blank line"),
        (
            "csv",
            b'a,b\n"1\n2","3\n4,5\n',
            "x:3: not valid CSV: unexpected end of data: the quote that begins a field",
        ),
        ("csv", b'a,b\n"1\n2","3"4\n', "x:3: not valid CSV: something stands between the quote"),
        ("csv", b"a, a\n1,2\n", "x:1: the column 'a' occurs twice"),
        ("tsv", b"a\tb\n1\t2\0\n", "x:2: not UTF-8 text: it holds a NUL (byte 7)"),
        ("csv", "a,b\n1,2\n".encode("utf-16-le"), "x:1: not UTF-8 text: it holds a NUL (byte 1)"),
        ("json", "[]".encode("utf-32"), "it is UTF-32 text"),
        ("dart", b"<benchmark><entries></entries></benchmark>", "it is XML"),
        ("e2e", b"<!DOCTYPE html><html></html>", "it is HTML"),
        ("jsonl", pickle.dumps([1]), "it is a pickle"),
        ("tsv", b"PAR1", "it is a parquet file"),
        ("csv", gzip.compress(b"a", mtime=0), "it is gzipped twice"),
        ("csv", b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS"),
        ("parquet", b"PK\x03\x04", "x: not a parquet file: it is a zip archive"),
        ("jsonl", b'{\n"a": [1]}', "x: one JSON object, expected an object a line or an array of objects"),
        ("json", b"[]", "x: is an empty array"),
        ("json", b'[{"a": 1}', "x:1: not valid JSON: expected ',' and an object, or ']'"),
        ("json", b'[{"a": 1},\n]', "x:2: not valid JSON: expected ',' and an object, or ']'"),
        ("json", b'[{"a": 1}]\n[', "x: not valid JSON: '[' stands behind the array"),
        ("json", b'[{"a": 1},\n {"a" 2}]', "x:2: not valid JSON"),
        ("json", b'[{"a": 1, "a": 2}]', "x:1: the key 'a' occurs twice"),
        ("json", b'{\n"a": [1]}', "x: one JSON object, expected an array of objects or an object a line"),
        ("json", b"[" * 100_000, "x:1: nested too deeply"),
        ("parquet", b"PAR1", "x: not a readable parquet file"),
    ],
)
def test_what_is_no_file_of_the_format(name: str, content: bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(name, content)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "faults"),
    [
        ("csv", b"a,b\n1\n\n1,2,3\n4,5\n", ["1 field between commas", "a blank line", "3 fields between commas", ""]),
        ("tsv", b"a\tb\n1\n\n1\t2\n", ["1 field between tabs, expected 2 (a, b)", "a blank line", ""]),
        ("jsonl", b'[1]\n\n{\n{"a": 1, "a": 1}\n{}', ["not a JSON", "a blank", "not valid", "the key", ""]),
        ("jsonl", b"[" * 100_000, ["nested too deeply"]),
        ("jsonl", b'{"a": 1, "a ": 1}\n{"a": ' + b"9" * 5000 + b"}", ["the key 'a' occurs twice", "a whole number of"]),
        ("csv", b"a,b\n1,2\r\r\n3,4\n", ["holds a CR that ends no line", ""]),
        ("tsv", b"a\tb\n1\r\t2\n3\t4\n", ["holds a CR that ends no line", ""]),
        ("e2e", b"a||b\rc\nd||e", ["holds a CR that ends no line", ""]),
        ("csv", b"a,b\n1,2\na,b\n3,4\n", ["", "the header once more", ""]),
        ("e2e", b"a\na||b||c\n||b\na||\na||b", ["expected", "expected", "the part before", "the part after", ""]),
    ],
)  # fmt: skip
def test_what_is_no_row(name: str, content: bytes, faults: list[str]) -> None:
    found = parse(name, content)
    assert len(found) == len(faults)
    for row, fault in zip(found, faults, strict=True):
        assert row.fault.startswith(fault)
        assert bool(row.fault) == bool(fault)


@settings(deadline=None)
@given(content=st.binary(max_size=60))
@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_rows_or_a_refusal(name: str, content: bytes) -> None:
    found: list[RawRow] = []
    with contextlib.suppress(DataError):
        found += READERS[name]().read(io.BytesIO(content), "x")
    assert all(row.fault or row.fields for row in found)


def test_an_unknown_suffix_and_an_unknown_name() -> None:
    with pytest.raises(
        DataError, match=r"a\.doc: unknown kind of file '\.doc'; it must be one of \.csv, .*data\.format"
    ):
        reader_for(Path("a.doc"))
    with pytest.raises(RecipeError, match=r"\[data\] format: no format 'json1'; did you mean 'jsonl?'"):
        reader_for(Path("a.txt"), "json1")
    assert reader_for(Path("a.txt"), "e2e") == READERS["e2e"]()
    assert reader_for(Path("A.CSV.gz")) == READERS["csv"]()


def test_what_claims_to_be_gzipped(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n")[:-9])
    with pytest.raises(DataError, match=r"a\.csv\.gz: not a readable gzip file"):
        rows(path)
