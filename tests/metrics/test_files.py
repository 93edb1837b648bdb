"""Score files: layouts that mean the same, and faults named by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafit.errors import DataError, NotFoundError
from lorafit.metrics.files import read_predictions, read_references, read_splits


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content", ["a\nb b\n", "a\nb b", "a\r\nb b\r\n", "a\rb b\r", "\ufeffa\nb b\n", " a \n\tb b\n"]
)
def test_line_ends_are_no_part_of_a_line_and_the_last_begins_none(tmp_path: Path, content: str) -> None:
    assert read_predictions(write(tmp_path / "p", content)) == ["a", "b b"]


def test_an_empty_line_is_an_empty_prediction(tmp_path: Path) -> None:
    assert read_predictions(write(tmp_path / "p", "a\n\nb\n\n")) == ["a", "", "b", ""]


def test_only_line_ends_part_lines(tmp_path: Path) -> None:
    assert read_predictions(write(tmp_path / "p", "a\u2028b\x0bc\x85d\ne\n")) == ["a\u2028b\x0bc\x85d", "e"]


@pytest.mark.parametrize("content", ["a\nb\n\nc\n", "a\nb\n\nc", "\na\nb\n\n\nc\n\n", "a\r\nb\r\n\r\nc\r\n"])
def test_groups_in_one_file(tmp_path: Path, content: str) -> None:
    assert read_references([write(tmp_path / "r", content)], 2) == [["a", "b"], ["c"]]


def test_one_reference_a_line_in_one_file(tmp_path: Path) -> None:
    assert read_references([write(tmp_path / "r", "a\nb\nc\n")], 3) == [["a"], ["b"], ["c"]]


def test_several_files_line_by_line(tmp_path: Path) -> None:
    paths = [write(tmp_path / "r0", "a\nb\n"), write(tmp_path / "r1", "\nc\n")]
    assert read_references(paths, 2) == [["a", ""], ["b", "c"]]


def test_splits_are_the_first_column(tmp_path: Path) -> None:
    assert read_splits(write(tmp_path / "s", "seen\tAirport\nunseen\n"), 2) == ["seen", "unseen"]


FAULTS = {
    "missing": (None, "file: no such file"),
    "empty": ("", "file: is empty"),
    "blank": ("\n\n", "file: is empty"),
    "not UTF-8": (b"a\nb\xe9c\n", "file:2: not UTF-8 (byte 0xe9)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_unreadable_files(tmp_path: Path, fault: str) -> None:
    content, message = FAULTS[fault]
    if content is not None:
        write(tmp_path / "file", content)
    for read in (
        lambda path: read_predictions(path),
        lambda path: read_references([path], 2),
        lambda path: read_references([path, path], 2),
        lambda path: read_splits(path, 2),
    ):
        with pytest.raises(NotFoundError if content is None else DataError) as caught:
            read(tmp_path / "file")
        assert str(caught.value) == f"{tmp_path}/{message}"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_predictions(tmp_path)


def test_lengths_that_differ(tmp_path: Path) -> None:
    three, two = write(tmp_path / "three", "a\n\nb\n\nc\n"), write(tmp_path / "two", "seen\nseen\n")
    with pytest.raises(DataError, match=r"three: 3 groups of references .* in 5 lines, for 2 predictions"):
        read_references([three], 2)
    with pytest.raises(DataError, match="two: 2 lines for 5 predictions"):
        read_references([three, two], 5)
    with pytest.raises(DataError, match="two: 2 lines for 3 predictions"):
        read_splits(two, 3)


def test_a_prediction_without_any_reference(tmp_path: Path) -> None:
    paths = [write(tmp_path / "r0", "a\n\n"), write(tmp_path / "r1", "b\n\n")]
    with pytest.raises(DataError, match=r"r0:2: no reference, here or in the other 1 files"):
        read_references(paths, 2)
    with pytest.raises(DataError, match=r"r0:2: no reference"):
        read_references(paths[:1], 2)


@pytest.mark.parametrize("label", ["", "all"])
def test_a_split_needs_a_name_of_its_own(tmp_path: Path, label: str) -> None:
    with pytest.raises(DataError, match="s:2: expected a label"):
        read_splits(write(tmp_path / "s", f"seen\n{label}\nseen\n"), 3)
