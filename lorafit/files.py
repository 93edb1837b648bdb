"""Files: what a path in a recipe means, and writing so that nothing half-written is visible under its final name."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lorafit.errors import ChangeArgument, LorafitError, RecipeError

ASSET_PREFIX = "lorafit:"

JsonObject = dict[str, Any]
"""A JSON object as `json.loads` gives it and `json.dumps` takes it."""

_LEFT_OVER = re.compile(r"\.(.+)\.\d+\.(tmp|old)")


def local_path(name: str) -> Path:
    """The path that a recipe means: `lorafit:quickstart/base` lies inside the package, `~` is the home folder."""
    if name.startswith(ASSET_PREFIX):
        return Path(__file__).resolve().parent / "assets" / name.removeprefix(ASSET_PREFIX)
    return Path(name).expanduser()


def absolute_path(name: str) -> str | None:
    """Where a relative path leads now; None for one that is absolute, lies in the package or leads nowhere."""
    path = local_path(name)
    is_relative = not name.startswith(ASSET_PREFIX) and not Path(name).is_absolute()
    return str(path.resolve()) if is_relative and name and path.exists() else None


def cache_folder() -> Path:
    """Where this program keeps what it can make again: LORAFIT_CACHE, or `lorafit` in the user's cache folder."""
    if chosen := os.environ.get("LORAFIT_CACHE"):
        return Path(chosen).expanduser()
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root).expanduser() if root else Path.home() / ".cache") / "lorafit"


@contextmanager
def removed_if_empty(folder: Path) -> Iterator[None]:
    """A folder that the block makes, and those made to hold it, are gone afterwards where nothing lies there."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    finally:
        for each in missing:
            with suppress(OSError):  # not empty, as it should be
                each.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write a whole file at once; the old content stays until the new one is on disk."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Indented JSON with a final newline; NaN and infinity are refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, values: list[Any]) -> None:
    """One JSON value per line."""
    write_text(path, "".join(json.dumps(v, ensure_ascii=False, allow_nan=False) + "\n" for v in values))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file at once; the old content stays until the new one is on disk."""
    with _said_clearly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def check_new(output: Path) -> None:
    """A folder that is to be made must be new, or empty. Raises RecipeError otherwise."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RecipeError(f"{output}: already exists", ChangeArgument("output"))


@contextmanager
def new_folder(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """A temporary folder that takes the name `path` if the block ends well: in place of what was there, or, without
    `replace`, only where nothing is there by then."""
    with _said_clearly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as stream:
                        os.fsync(stream.fileno())
                else:
                    _sync_folder(file)
            _sync_folder(temporary)
            if replace:
                _swap(temporary, path)
            else:
                _place(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync_folder(path.parent)


def _swap(temporary: Path, path: Path) -> None:
    """A folder cannot be renamed over a full one: the old one steps aside first."""
    old = _beside(path, "old")
    if path.exists():
        path.rename(old)
    temporary.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _place(temporary: Path, path: Path) -> None:
    """A folder cannot be renamed over a full one: who comes first stays."""
    try:
        temporary.rename(path)
    except OSError:
        if not path.is_dir():
            raise


def tidy(folder: Path) -> None:
    """Clear away what killed processes left of their writing in `folder`; nobody may be writing there.

    A folder that had stepped aside, and whose successor never took its place, is put back.
    """
    for left in folder.glob(".*"):
        match = _LEFT_OVER.fullmatch(left.name)
        if match is None:
            continue
        final = folder / match[1]
        if match[2] == "old" and not final.exists():
            left.rename(final)
        elif left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def is_left_over(path: Path) -> bool:
    """Whether `tidy` would clear it away."""
    return _LEFT_OVER.fullmatch(path.name) is not None


def _temporary(path: Path) -> Path:
    """One that no other writer has, nor one left behind: processes of containers and of several machines have the same
    numbers."""
    return _beside(path, "tmp")


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{int.from_bytes(os.urandom(8))}.{kind}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _said_clearly(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LorafitError(f"{path}: cannot be written: {error.strerror or error}") from error
