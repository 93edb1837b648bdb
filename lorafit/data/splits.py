"""What the splits of a data set are called, in folders, in rows and on the hub."""

from __future__ import annotations

from lorafit.recipe import Split

SPLIT_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "valid": ("valid", "validation", "dev"),
    "test": ("test",),
}
