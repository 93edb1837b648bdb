"""Hashes of files: right whatever was remembered."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from lorafit.hashes import file_hash, remembered

SIZE = 5 << 20  # large enough to be remembered
LONG_AGO = 1_000_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, to which files count as settled at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("lorafit.hashes._SETTLED_S", -1.0)
    return tmp_path / "cache" / "lorafit" / "hashes"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(SIZE))
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def right(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def write_in_place(path: Path) -> None:
    content = flip(path.read_bytes())
    with path.open("r+b") as stream:
        stream.write(content)


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(flip(path.read_bytes()))
    os.utime(other, (LONG_AGO, LONG_AGO))
    other.replace(path)


def write_and_set_the_time_back(path: Path) -> None:
    write_in_place(path)
    os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.mark.parametrize("change", [write_in_place, replace, write_and_set_the_time_back])
def test_a_file_that_was_changed_has_another_hash(large: Path, change: Callable[[Path], None]) -> None:
    """The same path and size, and where it was set back the same time of writing."""
    assert file_hash(large) == file_hash(large) == right(large)
    change(large)
    assert file_hash(large) == right(large)


def test_a_large_file_is_read_once_and_a_small_one_always(large: Path, cache: Path) -> None:
    def never() -> str:
        raise AssertionError("it was read")

    found = file_hash(large)
    assert remembered([large], "bytes", never) == found
    with pytest.raises(AssertionError):
        remembered([large], "tensors", never)
    small = large.with_name("small")
    small.write_bytes(b"a")
    file_hash(small)
    with pytest.raises(AssertionError):
        remembered([small], "bytes", never)
    assert len(list(cache.iterdir())) == 1


def test_a_file_that_has_just_been_written_is_not_remembered(
    large: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next change may come within one tick of the clock."""
    monkeypatch.setattr("lorafit.hashes._SETTLED_S", 60.0)
    assert file_hash(large) == right(large)
    assert not cache.exists()


@pytest.mark.parametrize("content", [b"", b"0" * 64, b"\xff" * 64, b"nonsense", b"0" * 64 + b" " + b"0" * 16])
def test_a_damaged_cache_is_done_without(large: Path, cache: Path, content: bytes) -> None:
    found = file_hash(large)
    (entry,) = cache.iterdir()
    entry.write_bytes(content)
    assert file_hash(large) == found
    entry.unlink()
    entry.mkdir()
    assert file_hash(large) == found


def test_a_cache_that_cannot_be_written_is_done_without(large: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    assert file_hash(large) == right(large)


def test_processes_do_not_disturb_each_other(tmp_path: Path) -> None:
    paths = [tmp_path / str(i) for i in range(4)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]) * SIZE)
    with ProcessPoolExecutor(4) as pool:
        found = list(pool.map(file_hash, paths * 3))
    assert found == [right(path) for path in paths] * 3


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_hash(tmp_path / "nothing")
