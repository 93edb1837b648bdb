"""The data files of the paper's repository: where they are, and the hash of each.

Commit c4593f0 of microsoft/LoRA (2024-12-17). The E2E texts were tokenised by a program that is not known, and
differently in each split, so no other copy of the data will do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from lorafit.data.places import Layout
from lorafit.data.sources import FileFormat, Files, Missing, RowSource
from lorafit.data.splits import SPLIT_NAMES
from lorafit.errors import RunCommand, SetKey
from lorafit.files import cache_folder
from lorafit.recipe import SPLITS, Split

COMMIT = "c4593f060e6a368d7bb5af5273b8e42810cdef90"
BASE_URL = f"https://raw.githubusercontent.com/microsoft/LoRA/{COMMIT}/examples/NLG/data"


@dataclass(frozen=True)
class OriginalFile:
    """A file of the repository; `blob_sha1` is git's hash of its content."""

    split: Split
    name: str
    blob_sha1: str


@dataclass(frozen=True)
class PaperFiles(Layout):
    """The files of a preset, one a split, in `folder` of the repository's examples/NLG/data."""

    name: str  # of the preset
    folder: str
    files: tuple[OriginalFile, ...]

    def file(self, split: Split) -> OriginalFile:
        """The file of a split."""
        return next(file for file in self.files if file.split == split)

    @override
    def in_folder(self, root: Path, file_format: FileFormat) -> dict[Split, RowSource]:
        """The splits in a folder that a user calls the data's: right there or in the task's folder, under the
        original names or simply as train, valid (or dev), test."""
        return {
            split: self._find(root, split, file_format)
            or Missing(f"{root}: no {self.file(split).name} there (data.dir, {split} split)")
            for split in SPLITS
        }

    @override
    def by_default(self, file_format: FileFormat) -> dict[Split, RowSource]:
        """The splits where `lorafit data fetch` puts them."""
        root = data_root()
        remedies = (RunCommand(f"lorafit data fetch {self.name}"), SetKey("data.dir", "FOLDER"))
        return {
            split: self._find(root, split, file_format)
            or Missing(
                f"{root / self.folder / self.file(split).name}: no such file ({split} split)", remedies
            )
            for split in SPLITS
        }

    def _find(self, root: Path, split: Split, file_format: FileFormat) -> Files | None:
        original = Path(self.file(split).name)
        names = dict.fromkeys([original.name, *(name + original.suffix for name in SPLIT_NAMES[split])])
        folders = dict.fromkeys([root, root / self.folder, root / self.name])
        for path in (folder / name for folder in folders for name in names):
            if path.is_file():
                return Files({path: ""}, file_format)
        return None


E2E_FILES = PaperFiles(
    "e2e",
    "e2e",
    (
        OriginalFile("train", "train.txt", "2f92a2790c00a48574dcc89465a326f33d7e7cc6"),
        OriginalFile("valid", "valid.txt", "94f87112e11198710d65a1d5dc7d0b8d9155a07d"),
        OriginalFile("test", "test.txt", "084da9f4409d98058bcb020614afa83824440484"),
    ),
)
DART_FILES = PaperFiles(
    "dart",
    "dart",
    (
        OriginalFile("train", "dart-v1.1.1-full-train.json", "66d6ce4aeb5d01c318c7fc15d7747ef39ea320be"),
        OriginalFile("valid", "dart-v1.1.1-full-dev.json", "e3a7a497677e7edd9c45a3aaadb3ab8fd5493f75"),
        OriginalFile("test", "dart-v1.1.1-full-test.json", "c3de833701dcd475ff3bf0b72cd96e13aeeb6b68"),
    ),
)
WEBNLG_FILES = PaperFiles(
    "webnlg",
    "webnlg_challenge_2017",
    (
        OriginalFile("train", "train.json", "461766d1fe902bd659b821a03f49310c22403686"),
        OriginalFile("valid", "dev.json", "180f096ff49a7e597dd7c507ea0c5441e839b770"),
        OriginalFile("test", "test.json", "7f552799b7e3b5badf95b725c20d955e0886811e"),
    ),
)


def data_root() -> Path:
    """The folder that `lorafit data fetch` fills and recipes without a place read: LORAFIT_DATA, or lorafit/data in the
    user's cache folder. A checkout's examples/NLG/data will do."""
    if chosen := os.environ.get("LORAFIT_DATA"):
        return Path(chosen).expanduser()
    return cache_folder() / "data"
