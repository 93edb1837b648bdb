"""GLUE (Wang et al. 2019): the folder of its download, and the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from lorafit.data.hub import HubRows
from lorafit.data.places import Layout
from lorafit.data.sources import FileFormat, Files, Missing, RowSource
from lorafit.recipe import SPLITS, Split

HUB_ID = "nyu-mll/glue"
HUB_REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
_HUB_SPLITS: dict[Split, str] = {"train": "train", "valid": "validation", "test": "test"}
_FILES: dict[Split, str] = {"train": "train", "valid": "dev", "test": "test"}


@dataclass(frozen=True)
class GlueFiles(Layout):
    """A task of GLUE: its name on the hub, its folder in the download, and the parts of its valid and test splits."""

    name: str
    folder: str
    parts: tuple[str, ...] = ("",)

    @override
    def in_folder(self, root: Path, file_format: FileFormat) -> dict[Split, RowSource]:
        """TSV files of the GLUE download, or parquet files in the layout of the hub."""
        return {split: self._find(root, split, file_format) for split in SPLITS}

    @override
    def by_default(self, file_format: FileFormat) -> dict[Split, RowSource]:
        """The hub."""
        return {
            split: HubRows(
                HUB_ID, HUB_REVISION, self.name, {_hub_split(split, p): p for p in self._parts(split)}
            )
            for split in SPLITS
        }

    def _find(self, root: Path, split: Split, file_format: FileFormat) -> RowSource:
        found: dict[Path, str] = {}
        for part in self._parts(split):
            name = f"{_FILES[split]}{part and '_' + part}.tsv"
            shards = sorted((root / self.name).glob(f"{_hub_split(split, part)}-*.parquet"))
            whole = [path for path in (root / self.folder / name, root / name) if path.is_file()]
            if not (whole or shards):
                return Missing(
                    f"{root / self.folder / name}: no such file (data.dir, {split} split); data.dir is the folder of "
                    f"the GLUE download, which holds {self.folder}/{name}"
                )
            found |= dict.fromkeys(whole[:1] or shards, part)
        return Files(found, file_format)

    def _parts(self, split: Split) -> tuple[str, ...]:
        return ("",) if split == "train" else self.parts


def _hub_split(split: Split, part: str) -> str:
    return _HUB_SPLITS[split] + (part and "_" + part)
