"""Data sets of the Hugging Face hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from lorafit.data.rows import RawRow
from lorafit.data.sources import RowFile
from lorafit.errors import Advice, NotFoundError, SetKey


@dataclass(frozen=True)
class HubRows:
    """Splits of a data set on the hub, one after the other: name of the split -> part."""

    hub_id: str
    revision: str
    config: str
    splits: dict[str, str]

    def open(self) -> Iterator[RowFile]:
        """Each split; from the cache where it is there."""
        for split, part in self.splits.items():
            where = f"{self.hub_id}/{self.config}/{split}"
            yield RowFile(where, self._rows(split), ("row", "rows"), has_header=True).of_part(part)

    def identity(self) -> str:
        """Over id, revision, config and splits: the revision pins the rows."""
        text = " ".join([self.hub_id, self.revision, self.config, *self.splits])
        return hashlib.sha256(text.encode()).hexdigest()

    def at_hand(self) -> bool:
        """No: even cached rows are not looked up without the network."""
        return False

    def _rows(self, split: str) -> Iterator[RawRow]:
        """Raises NotFoundError when neither the hub nor its cache has them."""
        import datasets

        datasets.disable_progress_bars()
        try:
            rows = datasets.load_dataset(self.hub_id, self.config, split=split, revision=self.revision)
        except Exception as error:  # datasets, huggingface_hub and httpx each have errors of their own
            raise NotFoundError(
                f"{self.hub_id}/{self.config}: not in the Hugging Face cache, and the hub gave none "
                f"({type(error).__name__})",
                Advice("check the network"),
                SetKey("data.dir", "FOLDER", "a local copy"),
                SetKey("data.train", "FILE"),
            ) from error
        for number, fields in enumerate(rows, start=1):
            yield RawRow(number, fields)
