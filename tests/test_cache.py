"""The cache of prepared data: whole entries or none, found by everything that decides them, within its bound."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorafit import cache
from lorafit.cache import Key
from lorafit.errors import LorafitError, RecipeError
from lorafit.files import JsonObject
from tests.support.full_disk import files_of_at_most

KEY = Key("rows", "a.txt (train)", {"files": [["a.txt", "00"]], "split": "train"})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LORAFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prepared"


def writes(content: bytes) -> Callable[[Path], JsonObject]:
    def write(folder: Path) -> JsonObject:
        (folder / "content").write_bytes(content)
        return {"said": len(content)}

    return write


def read(folder: Path, about: JsonObject) -> tuple[bytes, int]:
    return (folder / "content").read_bytes(), about["said"]


def refuse(*_: object) -> Any:
    pytest.fail("nothing is written or read here")


def test_what_was_made_is_found_by_its_key_alone(folder: Path) -> None:
    assert cache.find(KEY, read) is None
    assert cache.make(KEY, writes(b"abc"), read) == (b"abc", 3)
    assert cache.find(KEY, read) == (b"abc", 3)
    assert cache.find(replace(KEY, of="another name of the same"), read) == (b"abc", 3)
    for other in (
        replace(KEY, kind="token ids"),
        replace(KEY, decided_by={**KEY.decided_by, "split": "valid"}),
        replace(KEY, decided_by={**KEY.decided_by, "more": None}),
    ):
        assert cache.find(other, refuse) is None
    shutil.copytree(
        folder / KEY.name, folder / replace(KEY, kind="x").name
    )  # under a name that is not its own
    about = json.loads((folder / KEY.name / "entry.json").read_text())
    (folder / replace(KEY, kind="x").name / "entry.json").write_text(json.dumps({**about, "decided_by": {}}))
    assert cache.find(replace(KEY, kind="x"), refuse) is None


def test_half_an_entry_is_never_seen(folder: Path) -> None:
    def stops(folder: Path) -> JsonObject:
        writes(b"half")(folder)
        assert cache.find(KEY, refuse) is None
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.make(KEY, stops, read)
    assert not [*folder.iterdir()]
    killed = folder / f".{KEY.name}.1.tmp"
    killed.mkdir()
    writes(b"half")(killed)
    assert cache.find(KEY, refuse) is None
    assert cache.entries() == []
    os.utime(killed, (time.time() - 90_000,) * 2)
    cache.make(KEY, writes(b"abc"), read)
    assert [path.name for path in folder.iterdir()] == [KEY.name]


@pytest.mark.parametrize("damage", ["cut", "longer", "other bytes", "gone", "no json", "nothing about it"])
def test_a_damaged_entry_is_made_anew(folder: Path, damage: str) -> None:
    cache.make(KEY, writes(b"abcdef"), read)
    content, about = folder / KEY.name / "content", folder / KEY.name / "entry.json"
    match damage:
        case "cut":
            content.write_bytes(b"abc")
        case "longer":
            content.write_bytes(b"abcdefg")
        case "other bytes":
            content.write_bytes(b"abcxef")
        case "gone":
            content.unlink()
        case "no json":
            about.write_text("{")
        case _:
            about.unlink()
    assert cache.find(KEY, refuse) is None
    assert cache.make(KEY, writes(b"abcdef"), read)[0] == b"abcdef"
    assert cache.find(KEY, read) == (b"abcdef", 6)


def test_of_two_at_once_the_first_stays_whatever_their_processes_are_called(folder: Path) -> None:
    """Those of several containers have the same number, as two threads do."""

    def meanwhile(path: Path) -> JsonObject:
        assert cache.make(KEY, writes(b"first"), read)[0] == b"first"
        return writes(b"second")(path)

    assert cache.make(KEY, meanwhile, read)[0] == b"second"
    assert cache.find(KEY, read) == (b"first", 5)
    assert [path.name for path in folder.iterdir()] == [KEY.name]


AT_ONCE = """
import sys, time
from pathlib import Path
from lorafit import cache
key = cache.Key("rows", "x", {"a": 1})
def write(folder):
    with (folder / "content").open("wb") as stream:
        for i in range(200):
            stream.write(bytes([i]) * 1000)
            time.sleep(.001)
    return {}
read = lambda folder, about: (folder / "content").open("rb")
for _ in range(5):
    found = cache.find(key, read) or cache.make(key, write, read)
    content = found.read()
    assert content == b"".join(bytes([i]) * 1000 for i in range(200)), len(content)
    if sys.argv[1] == "clears":
        cache.clear()
"""


def test_processes_at_once_each_have_the_whole(folder: Path) -> None:
    """Of three that make and read one entry, one clears the cache again and again."""
    commands = [[sys.executable, "-c", AT_ONCE, role] for role in ("keeps", "keeps", "clears")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    for process in processes:
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_the_longest_unused_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [replace(KEY, decided_by={"number": i}) for i in range(4)]
    for age, key in zip((30, 40, 10), keys, strict=False):
        cache.make(key, writes(b"x" * 100), read)
        os.utime(cache.prepared_folder() / key.name / "entry.json", (time.time() - age,) * 2)
    monkeypatch.setenv("LORAFIT_CACHE_GB", "250e-9")
    cache.make(keys[3], writes(b"x" * 100), read)
    assert [entry.path.name for entry in cache.entries()] == [keys[3].name, keys[2].name]
    monkeypatch.setenv("LORAFIT_CACHE_GB", "50e-9")
    cache.make(keys[0], writes(b"x" * 100), read)
    assert [entry.path.name for entry in cache.entries()] == [keys[0].name]


def test_nothing_is_kept_where_none_is_wanted_or_possible(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.make(KEY, writes(b"abc"), read)
    monkeypatch.setenv("LORAFIT_CACHE_GB", "0")
    assert cache.find(KEY, refuse) is None
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert cache.make(replace(KEY, kind="x"), writes(b"abc"), read) == (b"abc", 3)
    assert len([*folder.iterdir()]) == 1
    monkeypatch.delenv("LORAFIT_CACHE_GB")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LORAFIT_CACHE", str(tmp_path / "file"))
    assert "Not a directory" in cache.why_not_kept()
    assert cache.make(KEY, writes(b"abc"), read) == (b"abc", 3)


def test_a_bound_that_is_no_number_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("LORAFIT_CACHE_GB", value)
        with pytest.raises(RecipeError, match="LORAFIT_CACHE_GB: must be a number of gigabytes"):
            cache.find(KEY, refuse)


def test_a_full_disk_is_told_with_what_helps_and_leaves_nothing(folder: Path) -> None:
    with files_of_at_most(2000), pytest.raises(LorafitError) as told:
        cache.make(KEY, writes(b"x" * 5000), read)
    assert told.value.message == f"{folder}: has no room for rows of a.txt (train): File too large"
    assert "LORAFIT_CACHE" in str(told.value.remedies)
    assert list(folder.iterdir()) == []


def test_the_command_lists_and_clears(cli: Callable[..., Any], folder: Path) -> None:
    assert "0 entries" in cli("data", "cache").stdout
    cache.make(KEY, writes(b"x" * 2_000_000), read)
    assert "rows" in (out := cli("data", "cache").stdout)
    assert "2.0 MB" in out
    assert "a.txt (train)" in out
    listed = json.loads(cli("data", "cache", "--json").stdout)
    assert listed["folder"] == str(folder)
    assert listed["bytes"] == 2_000_000
    assert listed["max_bytes"] == 50_000_000_000
    assert [entry["of"] for entry in listed["entries"]] == ["a.txt (train)"]
    damaged = folder / ("0" * 64)
    damaged.mkdir()
    (damaged / "content").write_bytes(b"x")
    assert "cleared 2.0 MB" in cli("data", "cache", "--clear").stdout
    assert [*folder.iterdir()] == []
    assert json.loads(cli("data", "cache", "--json").stdout)["entries"] == []
