"""Where a split's rows lie on disk, and reading them with errors that name file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lorafit.data.originals import DataSet, Split, data_root
from lorafit.errors import NotFoundError
from lorafit.files import local_path
from lorafit.recipe import DataSection


def has_split(data: DataSection, split: Split) -> bool:
    """Whether the recipe says where a split is. One that says nothing means the original data, with all splits."""
    return data.dir is not None or getattr(data, split) is not None or _is_silent(data)


def split_path(data: DataSection, split: Split, original: DataSet) -> Path:
    """The file of a split: `data.<split>` where it is given, else the task's file in `data.dir`, or where
    `lorafit data fetch` puts it if the recipe names no place at all.

    Raises NotFoundError when there is no such file, saying which key is meant and what to do.
    """
    named: str | None = getattr(data, split)
    if named is not None:
        path = local_path(named)
        if not path.is_file():
            raise NotFoundError(f"{path}: no such file (data.{split})")
        return path
    name = original.file(split).name
    if data.dir is not None:
        root = local_path(data.dir)
        what = (
            f"{root}: no {name} there (data.dir, {split} split)"
            if root.is_dir()
            else f"{root}: no such folder (data.dir)"
        )
    elif _is_silent(data):
        root = data_root()
        what = (
            f"{root / original.folder / name}: no such file ({split} split); get it with "
            f"`lorafit data fetch {original.name}`, or name a place with data.dir=FOLDER"
        )
    else:
        raise NotFoundError(f"[data]: no place is given for the {split} split; set data.{split}=FILE")
    for path in original.places(root, split):
        if path.is_file():
            return path
    raise NotFoundError(what)


def _is_silent(data: DataSection) -> bool:
    return data.dir is data.train is data.valid is data.test is None


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
