"""Rows of a task from files, without a recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lorafit.data import LabelRow, Split, TextRow
from lorafit.tasks import Rows, load_rows, make_data, make_task


def rows_of(name: str, **keys: Any) -> Rows:
    """The rows of a preset, or of a task with its usual columns; `keys` are those of `[data]`."""
    return load_rows(make_task(name), make_data(name, **keys))


def read_texts(name: str, path: Path, split: Split = "train", **keys: Any) -> list[TextRow]:
    """The rows of a file of texts."""
    found = rows_of(name, **{split: str(path)}, **keys).rows(split)
    return [row for row in found if isinstance(row, TextRow)]


def read_labels(name: str, path: Path, split: Split = "train", **keys: Any) -> list[LabelRow]:
    """The rows of a file of texts with labels."""
    found = rows_of(name, **{split: str(path)}, **keys).rows(split)
    return [row for row in found if isinstance(row, LabelRow)]


def save_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
