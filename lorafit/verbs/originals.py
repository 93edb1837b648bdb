"""The paper's original data files: download them, and check those of a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lorafit.data.download import FetchedFile, blob_sha1, fetch_files
from lorafit.data.originals import OriginalFile, PaperFiles, data_root
from lorafit.errors import DataError, NotFoundError, RunCommand, lookup
from lorafit.recipe import Split
from lorafit.tasks import PRESETS


def fetch(
    names: Sequence[str], folder: Path | None, progress: Callable[[str, int, int | None], None]
) -> list[FetchedFile]:
    """Download the original files of data sets (all of them without names) into `folder`, or to where recipes look.

    `progress` receives each file's name, the bytes that have arrived, and how many there will be, where that is known.
    Raises RecipeError for an unknown name, NotFoundError when the network or the server fails, DataError for a wrong
    hash.
    """
    root = folder if folder is not None else data_root()
    originals = _originals()
    wanted = [lookup(originals, name, "data set") for name in names or originals]
    return [file for data_set in wanted for file in fetch_files(data_set, root, progress)]


def _originals() -> dict[str, PaperFiles]:
    """The original files of every preset that has such, by its name."""
    return {name: preset.original for name, preset in PRESETS.items() if preset.original is not None}


@dataclass(frozen=True)
class VerifiedFile:
    """What a folder holds of an original file; `path` is where it is, or where it would be."""

    data_set: str
    split: Split
    path: Path
    status: Literal["original", "missing"]


def verify(folder: Path | None) -> list[VerifiedFile]:
    """Compare what a folder holds with the original files: those of one data set, or the tree that `fetch` makes.

    Raises DataError that names every file with another content, NotFoundError when there is none to compare.
    """
    root = folder if folder is not None else data_root()
    if not root.is_dir():
        raise NotFoundError(f"{root}: no such folder")
    files: list[VerifiedFile] = []
    wrong: list[DataError] = []
    for data_set in _originals().values():
        for file in data_set.files:
            path = next((p for p in _original_places(data_set, file, root) if p.is_file()), None)
            found = blob_sha1(path) if path else None
            if found not in (None, file.blob_sha1):
                fault = f"{path}: is not the original file (git blob SHA-1 {found}, not {file.blob_sha1})"
                remedy = RunCommand(f"lorafit data fetch {data_set.name}", "after you have deleted it")
                wrong.append(DataError(fault, remedy))
            place = path or root / data_set.folder / file.name
            files.append(VerifiedFile(data_set.name, file.split, place, "original" if path else "missing"))
    if wrong:
        raise DataError.joined(wrong)
    if all(file.status == "missing" for file in files):
        raise NotFoundError(f"{root}: holds none of the original files of {', '.join(_originals())}")
    return files


def _original_places(data_set: PaperFiles, file: OriginalFile, root: Path) -> list[Path]:
    return [folder / file.name for folder in (root, root / data_set.folder, root / data_set.name)]
