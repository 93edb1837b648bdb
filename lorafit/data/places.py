"""[data] -> the source of each split: files named one by one, shares of the training rows, a folder, or where the
original data of a preset are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from lorafit.data.hub import hub_splits
from lorafit.data.readers import known_suffixes
from lorafit.data.rows import RawRow
from lorafit.data.sources import FileFormat, Files, Missing, Piped, Renamed, RowSource, shares
from lorafit.data.splits import SPLIT_NAMES
from lorafit.errors import DataError, SetKey
from lorafit.files import local_path
from lorafit.recipe import SPLITS, DataSection, Split

_OF_ORIGINALS = (".json", ".txt")  # suffixes of files that only readers of their own understand


class Layout(Protocol):
    """How the splits of a data set lie in a folder, and where they are if a recipe names no place."""

    def in_folder(self, root: Path, file_format: FileFormat) -> dict[Split, RowSource]:
        """The splits in `data.dir`, which is a folder."""
        ...

    def by_default(self, file_format: FileFormat) -> dict[Split, RowSource]:
        """The splits of a recipe that names no place."""
        ...


@dataclass(frozen=True)
class OwnFiles(Layout):
    """A folder of one's own: `train`, `valid` (or `validation`, `dev`) and `test`, each in a format of READERS."""

    @override
    def in_folder(self, root: Path, file_format: FileFormat) -> dict[Split, RowSource]:
        """The splits that are there; the training split must be.

        Raises DataError where two files could be meant.
        """
        found = own_files(root)
        missing = Missing(f"{root}: no file train.csv or the like there (data.dir, train split)")
        sources: dict[Split, RowSource] = {} if "train" in found else {"train": missing}
        return sources | {split: Files({path: ""}, file_format) for split, path in found.items()}

    @override
    def by_default(self, file_format: FileFormat) -> dict[Split, RowSource]:
        """None."""
        return {}


def own_files(root: Path) -> dict[Split, Path]:
    """The file of every split that is in a folder. Raises DataError where two files could be meant."""
    found = {split: _file_of(root, split) for split in SPLITS}
    return {split: path for split, path in found.items() if path is not None}


def row_sources(data: DataSection, layout: Layout, key: Callable[[RawRow], str]) -> dict[Split, RowSource]:
    """The source of every split that `data` has a place for; `key` tells which rows a share keeps together.

    Raises DataError for a folder in which two files could be meant, and for a file that is named twice. A folder or
    file that is not there is an error when its rows are asked for.
    """
    sources = _places(data, layout)
    if data.rename:
        sources = {split: Renamed(source, data.rename) for split, source in sources.items()}
    if sizes := data.shares():
        whole = sources.get("train", no_place("train"))
        *parts, rest = shares(whole, list(sizes.values()), key, data.seed)
        sources |= {"train": rest, **dict(zip(sizes, parts, strict=True))}
    return sources


def _places(data: DataSection, layout: Layout) -> dict[Split, RowSource]:
    """A file that is named wins over the folder; a recipe that names one file gets no other by default."""
    if data.hub is not None:
        return hub_splits(data)
    file_format = FileFormat(data.format, data.columns)
    named = {split: _named(split, names, file_format) for split, names in data.files().items()}
    if data.dir is None:
        return named or layout.by_default(file_format)
    root = local_path(data.dir)
    if root.is_dir():
        return layout.in_folder(root, file_format) | named
    missing: dict[Split, RowSource] = dict.fromkeys(SPLITS, Missing(f"{root}: no such folder (data.dir)"))
    return missing | named


def _named(split: Split, names: Sequence[str], file_format: FileFormat) -> RowSource:
    paths = [local_path(name) for name in names]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        weights = SetKey("data.weights", note="how often the rows of each file come")
        raise DataError(f"[data] {split}: {twice} is named twice", weights)
    if folder := next((path for path in paths if path.is_dir()), None):
        return Missing(
            f"{folder}: is a folder, and data.{split} names files", (SetKey("data.dir", str(folder)),)
        )
    if missing := [str(path) for path in paths if not path.is_file()]:
        return Missing(f"{', '.join(missing)}: no such file (data.{split})")
    return Files(dict.fromkeys(paths, ""), file_format)


def new_rows(path: Path, data: DataSection) -> RowSource:
    """Other rows of the same columns as those of `data`; the path "-" is standard input, as JSON lines.

    A file is read by its suffix; as `data.format` says where that is none that is known, or the one of an original file
    of the paper's tasks.
    """
    if str(path) == "-":
        return Piped(sys.stdin.buffer.read())
    suffixes = path.suffixes[-2:] if path.suffix == ".gz" else [path.suffix]
    by_suffix = "".join(suffixes).lower() in known_suffixes() and suffixes[0] not in _OF_ORIGINALS
    return Files({path: ""}, FileFormat(None if by_suffix else data.format, data.columns))


def no_place(split: Split) -> Missing:
    """The source of a split for which a recipe names no place, while it names one for another."""
    return Missing(f"[data]: no place is given for the {split} split", (SetKey(f"data.{split}", "FILE"),))


def _file_of(root: Path, split: Split) -> Path | None:
    names = [name + suffix for name in SPLIT_NAMES[split] for suffix in known_suffixes()]
    found = [root / name for name in names if (root / name).is_file()]
    if len(found) > 1:
        raise DataError(
            f"{root}: {found[0].name} and {found[1].name} could both be the {split} split",
            SetKey(f"data.{split}", note="to one of them"),
        )
    return found[0] if found else None
