"""Shares of a split, renamed columns, and what rows come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafit.data import RawRow
from lorafit.data.hub import HubRows
from lorafit.data.sources import FileFormat, Files, Missing, Renamed, RowFile, RowSource, shares
from lorafit.errors import NotFoundError


@dataclass(frozen=True)
class Given:
    """Rows that are given."""

    rows: tuple[RawRow, ...]

    def open(self):
        yield RowFile("given", iter(self.rows))

    def hashes(self) -> dict[str, str]:
        return {"given": "x"}

    def identity(self) -> str:
        return "x"

    def at_hand(self) -> bool:
        return True


def key(row: RawRow) -> str:
    value = row.fields["prompt"]
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def given_rows(prompts: list[str]) -> Given:
    return Given(tuple(RawRow(i, {"prompt": prompt}) for i, prompt in enumerate(prompts, start=1)))


def rows_of(source: RowSource) -> list[RawRow]:
    return [row for file in source.open() for row in file.rows]


@given(prompts=st.lists(st.text(max_size=3), max_size=40), size=st.floats(0.01, 0.99))
def test_a_share_and_the_rest_are_the_whole_and_no_prompt_is_in_both(prompts: list[str], size: float) -> None:
    share, rest = (rows_of(source) for source in shares(given_rows(prompts), [size], key))
    assert sorted([*share, *rest], key=lambda row: row.line) == rows_of(given_rows(prompts))
    assert not {key(row) for row in share} & {key(row) for row in rest}


@given(before=st.lists(st.text(max_size=3), max_size=20), more=st.lists(st.text(max_size=3), max_size=20))
def test_further_rows_move_no_other(before: list[str], more: list[str]) -> None:
    share, _ = shares(given_rows(before), [0.3], key)
    grown, _ = shares(given_rows(before + more), [0.3], key)
    assert [row for row in rows_of(grown) if row.line <= len(before)] == rows_of(share)


def test_a_further_share_leaves_the_first_as_it_is() -> None:
    whole = given_rows([str(i) for i in range(500)])
    [alone, _], [first, second, rest] = shares(whole, [0.1], key), shares(whole, [0.1, 0.2], key)
    assert rows_of(first) == rows_of(alone)
    assert [round(len(rows_of(part)) / 500, 1) for part in (first, second, rest)] == [0.1, 0.2, 0.7]
    assert len({part.identity() for part in (first, second, rest)}) == 3


def test_malformed_rows_are_in_the_rest() -> None:
    bad = (RawRow(1, {}, "broken"), RawRow(2, {"prompt": None}))
    share, rest = shares(Given(bad), [0.99], key)
    assert (rows_of(share), rows_of(rest)) == ([], list(bad))


def test_the_identity_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("a\n1\n")
    second.write_text("a\n2\n")
    assert Files({first: ""}).identity() == hashlib.sha256(b"a\n1\n").hexdigest()
    both = Files({first: "", second: ""})
    before = both.identity()
    assert before != Files({second: "", first: ""}).identity()
    second.write_text("a\n3\n")
    assert both.identity() != before
    assert both.at_hand()
    second.unlink()
    assert not both.at_hand()
    with pytest.raises(NotFoundError, match=r"b\.csv: cannot be read: No such file"):
        both.identity()


def test_the_identity_of_rows_on_the_hub_is_their_revision() -> None:
    rows = HubRows("a/b", "123", "c", {"train": ""})
    assert rows.identity() == HubRows("a/b", "123", "c", {"train": ""}).identity()
    others = [HubRows("a/b", "124", "c", {"train": ""}), HubRows("a/b", "123", "d", {"train": ""})]
    assert rows.identity() not in [other.identity() for other in others]
    assert not rows.at_hand()


def test_what_is_missing_says_so_when_it_is_asked_for() -> None:
    missing = Missing("a.csv: no such file")
    assert not missing.at_hand()
    for ask in (missing.identity, missing.open):
        with pytest.raises(NotFoundError, match=r"a\.csv: no such file"):
            ask()


@pytest.mark.parametrize(
    ("fields", "found", "fault"),
    [
        ({"score": 1, "x": 2}, {"label": 1, "x": 2}, ""),
        ({"label": 1}, {"label": 1}, ""),
        ({"score": 1, "label": 1}, {"label": 1}, ""),
        ({"score": 1, "label": 2}, {}, "score is 1 and label is 2, and both are names of label"),
        ({"score": 1, "label": True}, {}, "score is 1 and label is True, and both are names of label"),
    ],
)
def test_a_renamed_column(fields: Mapping[str, object], found: Mapping[str, object], fault: str) -> None:
    [row] = rows_of(Renamed(Given((RawRow(1, fields),)), {"score": "label"}))
    assert row == RawRow(1, found, fault)


def test_columns_may_change_their_names() -> None:
    [row] = rows_of(Renamed(Given((RawRow(1, {"a": 1, "b": 2}),)), {"a": "b", "b": "a"}))
    assert row.fields == {"b": 1, "a": 2}


def test_files_of_a_split_follow_each_other_each_of_its_part(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"{name}\tx\n")
    source = Files({tmp_path / "a": "matched", tmp_path / "b": ""}, FileFormat("tsv", ("u", "v")))
    assert [(row.fields["u"], row.part) for row in rows_of(source)] == [("a", "matched"), ("b", "")]


def test_another_seed_takes_other_rows_of_the_same_size() -> None:
    rows = Given(tuple(RawRow(i, {"prompt": f"text {i}"}) for i in range(400)))
    found = {}
    for seed in (0, 1, 2):
        part, rest = shares(rows, [0.25], key, seed)
        found[seed] = {row.line for file in part.open() for row in file.rows}
        others = {row.line for file in rest.open() for row in file.rows}
        assert found[seed] | others == set(range(400))
        assert not found[seed] & others
        assert 60 < len(found[seed]) < 140
    assert found[0] != found[1] != found[2]
    assert shares(rows, [0.25], key)[0].identity() != shares(rows, [0.25], key, 1)[0].identity()
