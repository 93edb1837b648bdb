"""sha256 of files. That of a large file is remembered until the file changes."""

from __future__ import annotations

import hashlib
import json
import os
import string
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from lorafit.files import cache_folder

_LARGE_BYTES = 4 << 20  # below this, reading a file again costs less than looking for what is remembered
_SETTLED_S = 2.0  # a file that was written later could be written again without its times telling
_HEX = frozenset(string.hexdigits)


def file_hash(path: Path) -> str:
    """sha256 of the bytes of a file, in hex. Raises OSError where it cannot be read."""
    return remembered([path], "bytes", lambda: _hash_bytes(path))


def joint_hash(hashes: Sequence[str]) -> str:
    """One hash over several, in this order."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


@cache
def source_hash(*rooms: str) -> str:
    """sha256 over this program's own code in packages such as "data": what was computed by other code is another."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for room in rooms for path in package.glob(f"{room}/**/*.py")):
        digest.update(f"{path.relative_to(package)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def remembered(files: Sequence[Path], what: str, compute: Callable[[], str]) -> str:
    """A hash of these files, from the user's cache where it is there; `what` tells several hashes of one file apart.

    A file is the same while its path, size, times of writing and of change, and inode are. Raises OSError where a file
    is missing, and what `compute` raises.
    """
    before, now = _identities(files), time.time_ns()
    is_settled = now - max(max(each[2:4]) for each in before) > _SETTLED_S * 1e9
    if sum(each[1] for each in before) < _LARGE_BYTES or not is_settled:
        return compute()
    entry = _Entry(json.dumps([what, before]))
    known = entry.read()
    if known is None:
        known = compute()
        if _identities(files) == before:
            entry.write(known)
    return known


def _identities(files: Sequence[Path]) -> list[tuple[str, int, int, int, int]]:
    """(path, bytes, mtime, ctime, inode) of each file, links followed."""
    found = []
    for file in files:
        stat = file.stat()
        path = str(file.resolve())
        found.append((path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))
    return found


def _hash_bytes(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Entry:
    """A file in the user's cache folder that holds one hash.

    Each key has a file of its own, so that processes never overwrite each other's. One that is damaged, or cannot be
    read or written, is done without.
    """

    def __init__(self, key: str) -> None:
        self.name = hashlib.sha256(key.encode()).hexdigest()
        self.path = cache_folder() / "hashes" / self.name

    def read(self) -> str | None:
        try:
            value, _, check = self.path.read_text(encoding="ascii").partition(" ")
        except (OSError, ValueError):
            return None
        is_hash = len(value) == len(self.name) and _HEX.issuperset(value)
        return value if is_hash and check == self._check(value) else None

    def write(self, value: str) -> None:
        temporary = self.path.with_name(f".{self.name}.{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(f"{value} {self._check(value)}", encoding="ascii")
            temporary.replace(self.path)
        except OSError:
            pass

    def _check(self, value: str) -> str:
        return hashlib.sha256(f"{self.name} {value}".encode()).hexdigest()[:16]
