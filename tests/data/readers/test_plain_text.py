"""A plain file is cut at blank lines into passages, of which nothing is lost and the last one alone ends the text."""

from __future__ import annotations

import io

import pytest

from lorafit.data import RawRow
from lorafit.data.readers import READERS
from lorafit.data.readers.plain_text import GOES_ON
from lorafit.data.readers.text import STRAY_CR
from lorafit.errors import DataError


def parse(text: str) -> list[RawRow]:
    return list(READERS["text"]().read(io.BytesIO(text.encode()), "x"))


def test_a_passage_ends_at_the_first_blank_line_behind_two_pages() -> None:
    paragraphs = ["\n".join([f"Line {i} {j}." for j in range(100)]) for i in range(12)]
    rows = parse("\n\n".join(paragraphs) + "\n\n")
    texts = [str(row.fields["text"]) for row in rows]
    assert "\n\n".join(texts) == "\n\n".join(paragraphs)
    assert all(len(text) >= 4000 for text in texts[:-1])
    assert len(rows) > 2
    assert [row.fields.get(GOES_ON, False) for row in rows] == [*[True] * (len(rows) - 1), False]
    assert (rows[0].line, rows[1].line) == (1, texts[0].count("\n") + 3)


def test_a_short_file_is_one_passage_with_its_blank_lines() -> None:
    assert parse("\n a\r\n\r\nb \n\n") == [RawRow(2, {"text": " a\n\nb "})]


def test_an_empty_file_is_said_to_be_empty() -> None:
    with pytest.raises(DataError, match="x: is empty"):
        parse(" \n\n")


def test_a_stray_cr_is_a_fault_of_its_line() -> None:
    [row] = parse("One.\nTwo\rthree.\n")
    assert (row.line, row.fields, row.fault) == (2, {}, STRAY_CR)
