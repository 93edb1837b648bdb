"""Where a split's rows lie on disk, and reading them with errors that name file and line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lorafit.errors import NotFoundError
from lorafit.files import local_path
from lorafit.recipe import DataSection

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def has_split(data: DataSection, split: Split) -> bool:
    """Whether the recipe says where a split is."""
    return data.dir is not None or getattr(data, split) is not None


def split_path(data: DataSection, split: Split, file_names: Mapping[Split, str]) -> Path:
    """The file of a split: `data.<split>` where it is given, else the task's own file name in `data.dir`.

    Raises NotFoundError with the path when there is no such file, or when the recipe names neither.
    """
    named: str | None = getattr(data, split)
    if named is not None:
        path = local_path(named)
        key = f"data.{split}"
    elif data.dir is not None:
        path = local_path(data.dir) / file_names[split]
        key = "data.dir"
    else:
        raise NotFoundError(
            f"[data]: no place is given for the {split} split; set data.{split}=FILE, "
            f"or data.dir=FOLDER (holding {', '.join(file_names.values())})"
        )
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file ({key}, {split} split)")
    return path


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file without their ends; a final newline adds no empty line.

    Raises NotFoundError for a file that cannot be read, is not UTF-8 or is empty.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotFoundError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise NotFoundError(f"{path}: cannot be read: {error.strerror}") from None
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if lines == [""]:
        raise NotFoundError(f"{path}: is empty")
    return lines


def read_json(path: Path) -> Any:
    """A JSON file. Raises NotFoundError with the place of the fault."""
    try:
        return json.loads("\n".join(read_lines(path)))
    except json.JSONDecodeError as error:
        raise NotFoundError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from None
