"""Reading score files: predictions, references and split labels, line by line.

A line ends with LF, CRLF or CR; no further line begins after the last line end. Files are UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lorafit.errors import DataError, NotFoundError


def read_predictions(path: Path) -> list[str]:
    """One prediction a line; an empty line is an empty prediction.

    Raises:
        NotFoundError: there is no such file.
        DataError: the file is empty, or not UTF-8.
    """
    return _read_lines(path)


def read_references(paths: Sequence[Path], num_predictions: int) -> list[list[str]]:
    """A group of references for each prediction, from one file or from several.

    One file: groups with a blank line between them, or one reference a line. Several files: the n-th lines
    make the n-th group, and an empty line is a missing reference.

    Raises:
        NotFoundError: a file is missing.
        DataError: a file is empty or not UTF-8, has another number of lines, or leaves a group empty.
    """
    if len(paths) == 1:
        return _read_groups(paths[0], num_predictions)
    columns = [_read_lines(path) for path in paths]
    for path, lines in zip(paths, columns, strict=True):
        if len(lines) != num_predictions:
            raise DataError(f"{path}: {len(lines)} lines for {num_predictions} predictions")
    groups = [list(group) for group in zip(*columns, strict=True)]
    for number, group in enumerate(groups, start=1):
        if not any(group):
            raise DataError(f"{paths[0]}:{number}: no reference, here or in the other {len(paths) - 1} files")
    return groups


def read_splits(path: Path, num_predictions: int) -> list[str]:
    """The label of each prediction ("seen"): the first column of each line; tabs separate columns.

    Raises:
        NotFoundError: there is no such file.
        DataError: the file is empty or not UTF-8, has another number of lines, or a line without a label.
    """
    labels = [line.split("\t")[0].strip() for line in _read_lines(path)]
    if len(labels) != num_predictions:
        raise DataError(f"{path}: {len(labels)} lines for {num_predictions} predictions")
    for number, label in enumerate(labels, start=1):
        if not label or label == "all":
            raise DataError(f"{path}:{number}: expected a label other than 'all', found {label!r}")
    return labels


def _read_groups(path: Path, num_predictions: int) -> list[list[str]]:
    lines = _read_lines(path)
    groups: list[list[str]] = [[]]
    for line in lines:
        if line:
            groups[-1].append(line)
        elif groups[-1]:
            groups.append([])
    groups = [group for group in groups if group]
    if len(groups) == num_predictions:
        return groups
    if len(lines) == num_predictions:
        missing = [number for number, line in enumerate(lines, start=1) if not line]
        if missing:
            raise DataError(f"{path}:{missing[0]}: no reference, and there is no other file")
        return [[line] for line in lines]
    raise DataError(
        f"{path}: {len(groups)} groups of references (blank lines between them) in {len(lines)} lines, "
        f"for {num_predictions} predictions"
    )


def _read_lines(path: Path) -> list[str]:
    """The lines without their ends, stripped of white space around."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except OSError as fault:
        raise DataError(f"{path}: cannot be read ({fault.strerror})") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        number = data.count(b"\n", 0, fault.start) + 1
        raise DataError(f"{path}:{number}: not UTF-8 (byte 0x{data[fault.start]:02x})") from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    if not any(line.strip() for line in lines):
        raise DataError(f"{path}: is empty")
    return [line.strip() for line in lines]
