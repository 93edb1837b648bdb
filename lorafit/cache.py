"""What was computed from data files, kept in the user's cache folder until its room is needed.

An entry is a folder, found by a hash over everything that decides its content. It appears whole or not at all and is
never changed afterwards, so processes share entries without locks: of several that make the same one, the first stays.
Who has opened an entry can read it to the end, even when another process clears it away.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lorafit.errors import Advice, LorafitError, RecipeError
from lorafit.files import JsonObject, cache_folder, new_folder, write_json
from lorafit.hashes import file_hash

SIZE_VARIABLE = "LORAFIT_CACHE_GB"
_DEFAULT_GB = 50.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ABOUT = "entry.json"
_ABANDONED_S = 86_400.0  # nobody writes at one entry for so long

T = TypeVar("T")
Write = Callable[[Path], JsonObject]
"""Writes the files of an entry into a folder, and returns what else is to be known of them."""
Read = Callable[[Path, JsonObject], T]
"""Opens the files of an entry, all that it will ever need, by what `Write` returned."""


@dataclass(frozen=True)
class Key:
    """What an entry holds (`kind`) and of what (`of`), in words; and everything that decides its content, as JSON."""

    kind: str
    of: str
    decided_by: JsonObject

    @property
    def name(self) -> str:
        """sha256 of kind and `decided_by`."""
        return hashlib.sha256(json.dumps([self.kind, self.decided_by], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """An entry that is there. `made` and last `used` in seconds since 1970."""

    path: Path
    kind: str
    of: str
    num_bytes: int
    made: float
    used: float


def prepared_folder() -> Path:
    """Where the entries are."""
    return cache_folder() / "prepared"


def max_bytes() -> int:
    """How much the entries may take together; 0: nothing is kept. Raises RecipeError for a LORAFIT_CACHE_GB that is no
    such number."""
    said = os.environ.get(SIZE_VARIABLE) or str(_DEFAULT_GB)
    try:
        size = float(said)
        if not 0 <= size < 1e9:
            raise ValueError
    except ValueError:
        raise RecipeError(
            f"{SIZE_VARIABLE}: must be a number of gigabytes, 0 to keep nothing; got {said!r}"
        ) from None
    return int(size * 1e9)


def why_not_kept() -> str:
    """Why nothing can be kept although it should be; "" where it can, or nothing is to be kept."""
    if not max_bytes():
        return ""
    folder = prepared_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder}: Permission denied"


def find(key: Key, read: Read[T]) -> T | None:
    """The content of an entry; None where there is none. A damaged one is cleared away."""
    if not max_bytes():
        return None
    path = prepared_folder() / key.name
    try:
        about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        shutil.rmtree(path, ignore_errors=True)
        return None
    try:
        if about["decided_by"] == json.loads(json.dumps(key.decided_by)) and about["files"] == _hashes(path):
            found = read(path, about["content"])
            with contextlib.suppress(OSError):
                os.utime(path / _ABOUT)
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    shutil.rmtree(path, ignore_errors=True)
    return None


def make(key: Key, write: Write, read: Read[T]) -> T:
    """The content of an entry that is not there yet. Where nothing is to be kept, or can be, it lasts as long as it is
    open. Raises LorafitError where there is no room to write it, and what `write` raises."""
    if not max_bytes() or why_not_kept():
        return make_for_now(write, read)
    try:
        with new_folder(prepared_folder() / key.name, replace=False) as folder:
            content = write(folder)
            about = {"kind": key.kind, "of": key.of, "made": time.time(), "decided_by": key.decided_by}
            write_json(folder / _ABOUT, {**about, "files": _hashes(folder), "content": content})
            found = read(folder, content)
    except LorafitError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno not in _NO_ROOM:
            raise
        raise LorafitError(
            f"{prepared_folder()}: has no room for {key.kind} of {key.of}: {cause.strerror}",
            Advice("set LORAFIT_CACHE to a folder with room"),
            Advice(f"set {SIZE_VARIABLE}=0, which keeps nothing, and TMPDIR to a folder with room"),
        ) from cause
    _make_room(key.name)
    return found


def make_for_now(write: Write, read: Read[T]) -> T:
    """The same, and nothing is kept of it."""
    try:
        with tempfile.TemporaryDirectory(prefix="lorafit-") as folder:
            return read(Path(folder), write(Path(folder)))
    except OSError as error:
        raise LorafitError(
            f"{tempfile.gettempdir()}: cannot be written: {error.strerror}",
            Advice("set TMPDIR to another folder"),
        ) from error


def entries() -> list[Entry]:
    """All that are there, the last used first."""
    found = [entry for path in _folders() if (entry := _entry(path)) is not None]
    return sorted(found, key=lambda entry: -entry.used)


def clear() -> list[Entry]:
    """Delete every entry, damaged ones too, and what killed processes left of theirs. Returns those that were whole."""
    cleared = entries()
    for path in _folders():
        shutil.rmtree(path, ignore_errors=True)
    _clear_abandoned()
    return cleared


def _make_room(latest: str) -> None:
    """Delete entries, the longest unused first, until the others fit; the latest one stays in any case."""
    _clear_abandoned()
    there, most = entries(), max_bytes()
    total = sum(entry.num_bytes for entry in there)
    for entry in reversed(there):
        if total <= most:
            return
        if entry.path.name != latest:
            shutil.rmtree(entry.path, ignore_errors=True)
            total -= entry.num_bytes


def _clear_abandoned() -> None:
    for path in prepared_folder().glob(".*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)


def _folders() -> list[Path]:
    folder = prepared_folder()
    return [path for path in folder.iterdir() if path.name[0] != "."] if folder.is_dir() else []


def _entry(path: Path) -> Entry | None:
    """None for one that another process clears away just now."""
    try:
        about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
        used, size = (path / _ABOUT).stat().st_mtime, sum(file.stat().st_size for file in _files(path))
        return Entry(path, str(about["kind"]), str(about["of"]), size, float(about["made"]), used)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file of an entry but the one about it. That of a large one is remembered while it is as it
    was, so an entry is read once more, when it is first found."""
    return {path.name: file_hash(path) for path in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != _ABOUT)
