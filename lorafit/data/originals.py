"""The data files of the paper's repository: where they are, and the hash of each.

Commit c4593f0 of microsoft/LoRA (2024-12-17). The E2E texts were tokenised by a program that is not known, and
differently in each split, so no other copy of the data will do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")

COMMIT = "c4593f060e6a368d7bb5af5273b8e42810cdef90"
BASE_URL = f"https://raw.githubusercontent.com/microsoft/LoRA/{COMMIT}/examples/NLG/data"

_OTHER_STEMS: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "valid": ("valid", "dev"),
    "test": ("test",),
}


@dataclass(frozen=True)
class OriginalFile:
    """A file of the repository; `blob_sha1` is git's hash of its content."""

    split: Split
    name: str
    blob_sha1: str


@dataclass(frozen=True)
class DataSet:
    """The files of a task, one a split, in `folder` of the repository's examples/NLG/data."""

    name: str
    folder: str
    files: tuple[OriginalFile, ...]

    def file(self, split: Split) -> OriginalFile:
        """The file of a split."""
        return next(file for file in self.files if file.split == split)

    def places(self, root: Path, split: Split) -> list[Path]:
        """Where a split's file may lie in a folder that a user calls the data's: right there or in the task's folder,
        under its original name or simply as train, valid (or dev), test."""
        original = Path(self.file(split).name)
        plain = [f"{stem}{original.suffix}" for stem in _OTHER_STEMS[split]]
        names = dict.fromkeys([original.name, *plain])
        folders = dict.fromkeys([root, root / self.folder, root / self.name])
        return [folder / name for folder in folders for name in names]


ORIGINALS: dict[str, DataSet] = {
    data_set.name: data_set
    for data_set in (
        DataSet(
            "e2e",
            "e2e",
            (
                OriginalFile("train", "train.txt", "2f92a2790c00a48574dcc89465a326f33d7e7cc6"),
                OriginalFile("valid", "valid.txt", "94f87112e11198710d65a1d5dc7d0b8d9155a07d"),
                OriginalFile("test", "test.txt", "084da9f4409d98058bcb020614afa83824440484"),
            ),
        ),
        DataSet(
            "dart",
            "dart",
            (
                OriginalFile(
                    "train", "dart-v1.1.1-full-train.json", "66d6ce4aeb5d01c318c7fc15d7747ef39ea320be"
                ),
                OriginalFile(
                    "valid", "dart-v1.1.1-full-dev.json", "e3a7a497677e7edd9c45a3aaadb3ab8fd5493f75"
                ),
                OriginalFile(
                    "test", "dart-v1.1.1-full-test.json", "c3de833701dcd475ff3bf0b72cd96e13aeeb6b68"
                ),
            ),
        ),
        DataSet(
            "webnlg",
            "webnlg_challenge_2017",
            (
                OriginalFile("train", "train.json", "461766d1fe902bd659b821a03f49310c22403686"),
                OriginalFile("valid", "dev.json", "180f096ff49a7e597dd7c507ea0c5441e839b770"),
                OriginalFile("test", "test.json", "7f552799b7e3b5badf95b725c20d955e0886811e"),
            ),
        ),
    )
}


def data_root() -> Path:
    """The folder that `lorafit data fetch` fills and recipes without a place read: LORAFIT_DATA, or lorafit/data in the
    user's cache folder. A checkout's examples/NLG/data will do."""
    if chosen := os.environ.get("LORAFIT_DATA"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache).expanduser() if cache else Path.home() / ".cache") / "lorafit" / "data"
