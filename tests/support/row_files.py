"""Files of rows in every format, drawn at random: mostly rows that can be used, some spoilt."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from pyarrow import parquet

GOOD = {
    "text": "t",
    "label": "1",
    "prompt": "p",
    "completion": "c",
    "part": "x",
    "split": "train",
    "sentence1": "a",
    "sentence2": "b",
    "score": "1",
    "messages": '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]',
}
NAMES = [*GOOD, "gold_label"]


TEXT = st.text(st.characters(), max_size=6) | st.sampled_from(
    ["1", "1.0", " 1 ", "0.9", "-", "test", "all", "\ud83d"]
)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([0, 1, -1, 10**400]) | TEXT
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)
HEADER = st.lists(st.sampled_from(NAMES) | TEXT, max_size=6) | st.permutations(NAMES)


@st.composite
def tables(draw: st.DrawFn, cell: st.SearchStrategy[Any]) -> tuple[list[str], list[list[Any]]]:
    """Mostly rows that can be used, some cells and headers of another kind."""
    header = draw(st.just(list(GOOD)) | st.just(list(GOOD)) | HEADER)
    rows = draw(
        st.lists(
            st.tuples(*(st.just(GOOD.get(name, "a")) for name in header)).map(list), min_size=1, max_size=4
        )
    )
    for row in rows:
        for place in draw(st.lists(st.integers(0, len(header)), max_size=2)):
            row[place : place + 1] = [draw(cell)]  # behind the last one it is a cell too many
    rows[0][1:2] = rows[0][1:2] and ["0"]
    return header, rows


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
            whole = st.lists(line | st.just("a||b"), max_size=4).map(lambda lines: encoded("\n".join(lines)))
        case "text":
            whole = st.lists(TEXT | st.just("a" * 4000), max_size=6).map(
                lambda lines: encoded("\n".join(lines))
            )
        case _:
            whole = st.lists(VALUE | st.just("t"), max_size=3).map(lambda texts: as_records(name, texts))
    spoilt: list[Callable[[bytes], bytes]] = [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n") + b"\r\n\r\n",
        lambda content: content.replace(b"\n", b"\r"),
        lambda content: content[: len(content) // 2],
        lambda content: content + content,
        partial(gzip.compress, mtime=0),
    ]
    return st.one_of(whole, whole, *(whole.map(change) for change in spoilt), st.binary(max_size=40))
