"""Hundreds of damaged adapter folders: every one is refused by name, with exit code 6 and without a traceback."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lorafit.adapters.seal import document_seal
from tests.support.adapter_fixtures import make_adapter, run_here

VALUES: list[Any] = [None, "x", 7, -1.5, True, [], {}, {"deep": [1]}, 10**30, 0, "../../etc/passwd", "\ud800"]
FILES = ("adapter.safetensors", "fingerprint.safetensors", "adapter.json")


@pytest.fixture(scope="module")
def adapter(gpt2_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "adapter"
    make_adapter(gpt2_base, folder)
    return folder


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`lorafit verify` must refuse the folder, and the message must hold the name of the file at fault."""

    def check(folder: Path, name: str, what: str) -> None:
        outcome = run_here(monkeypatch, ["verify", folder])
        assert outcome.code == 6, f"{what}: exit {outcome.code}\n{outcome.out}{outcome.err}"
        assert name in outcome.out, f"{what}: {outcome.out}"
        assert len(outcome.out) < 2000, what

    return check


def _copy(adapter: Path, folder: Path) -> Path:
    return Path(shutil.copytree(adapter, folder))


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit_is_noticed(adapter, tmp_path, refused, name):
    folder = _copy(adapter, tmp_path / "flipped")
    whole = (adapter / name).read_bytes()
    rng = random.Random(0)
    places = [*range(12), *rng.sample(range(len(whole)), 60), len(whole) - 1 - (name == "adapter.json")]
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << rng.randrange(8)
        (folder / name).write_bytes(content)
        refused(folder, name, f"{name}: bit flipped in byte {place}")


@pytest.mark.parametrize("name", FILES)
def test_any_other_length_is_noticed(adapter, tmp_path, refused, name):
    folder = _copy(adapter, tmp_path / "cut")
    whole = (adapter / name).read_bytes()
    lengths = [0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 2 - (name == "adapter.json")]
    for length in lengths:
        (folder / name).write_bytes(whole[:length])
        refused(folder, name, f"{name}: cut to {length} bytes")
    (folder / name).write_bytes(whole + b"x")
    refused(folder, name, f"{name}: a byte more")
    (folder / name).unlink()
    if name != "adapter.json":  # without it, it is no adapter folder at all
        refused(folder, name, f"{name}: deleted")
    (folder / name).mkdir()
    refused(folder, name, f"{name}: a folder")


def _places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield (*path, key)
            yield from _places(value, (*path, key))


def _parent(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def test_any_changed_key_of_the_card_is_noticed(adapter, tmp_path, refused):
    folder = _copy(adapter, tmp_path / "edited")
    text = (adapter / "adapter.json").read_text()
    rng = random.Random(0)
    for path in list(_places(json.loads(text))):
        old = _parent(json.loads(text), path)[path[-1]]
        for value in rng.sample(VALUES, 3):
            if json.dumps(value) == json.dumps(old):
                continue
            document = json.loads(text)
            _parent(document, path)[path[-1]] = value
            (folder / "adapter.json").write_text(json.dumps(document))
            refused(folder, "adapter.json", f"{'.'.join(path)} = {value!r}")
        document = json.loads(text)
        del _parent(document, path)[path[-1]]
        (folder / "adapter.json").write_text(json.dumps(document))
        refused(folder, "adapter.json", f"{'.'.join(path)} deleted")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"null", b"[]", b"3", b'"x"', b"{}", b"{" * 5000, b"[" * 100_000, b'{"a":' * 900 + b"1" + b"}" * 900,
        b"\xff\xfe", b"\x00" * 100, b'{"format_version": 2}', b'{"format_version": NaN}',
        b'{"format_version": ' + b"9" * 5000 + b"}", b"{'a': 1}",
    ],
    ids=range(15),
)  # fmt: skip
def test_any_other_document_is_no_card(adapter, tmp_path, refused, content):
    folder = _copy(adapter, tmp_path / "other")
    (folder / "adapter.json").write_bytes(content)
    refused(folder, "adapter.json", repr(content[:40]))


def test_deeply_nested_values_in_a_card_are_noticed(adapter, tmp_path, refused):
    folder = _copy(adapter, tmp_path / "deep")
    document = json.loads((adapter / "adapter.json").read_text())
    for depth in (100, 300, 600, 900, 2000):
        nested = "[" * depth + "]" * depth
        text = json.dumps({**document, "scores": {"x": "HERE"}}).replace('"HERE"', nested)
        (folder / "adapter.json").write_text(text)
        refused(folder, "adapter.json", f"depth {depth}")


def _reseal(folder: Path, name: str, content: bytes) -> None:
    """What a forger does: the new bytes, with hash, size and seal made to fit."""
    (folder / name).write_bytes(content)
    document = json.loads((folder / "adapter.json").read_text())
    document["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "num_bytes": len(content)}
    document["seal"] = document_seal(document)
    (folder / "adapter.json").write_text(json.dumps(document))


def _header(content: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def _file(header: Any, body: bytes) -> bytes:
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


def _edits(header: dict[str, Any], body: bytes) -> Iterator[tuple[str, bytes]]:
    name = next(key for key in header if key != "__metadata__")
    entry = header[name]
    yield "huge header", (2**63 - 1).to_bytes(8, "little") + b"{}"
    yield "header of 2 GB", (2**31).to_bytes(8, "little") + b"{}" + body
    yield "empty header", _file({}, b"")
    yield "header is a list", _file([1, 2], body)
    yield "deep header", _file({"a": 1}, body).replace(b'{"a": 1}', b'{"a":' + b"[" * 50 + b"]" * 50 + b"}")
    yield "no seal", _file({k: v for k, v in header.items() if k != "__metadata__"}, body)
    yield (
        "foreign seal",
        _file({**header, "__metadata__": {"lorafit": "[" * 9999, "precision": "int3"}}, body),
    )
    yield "unknown dtype", _file({**header, name: entry | {"dtype": "F13"}}, body)
    yield "other dtype", _file({**header, name: entry | {"dtype": "I32"}}, body)
    yield "other shape", _file({**header, name: entry | {"shape": [1, *entry["shape"]]}}, body)
    yield "negative shape", _file({**header, name: entry | {"shape": [-1]}}, body)
    yield "offsets outside", _file({**header, name: entry | {"data_offsets": [0, 10**15]}}, body)
    yield (
        "renamed",
        _file({("renamed" if key == name else key): value for key, value in header.items()}, body),
    )
    yield "not finite", _file(header, b"\xff" * len(body))


@pytest.mark.parametrize("name", ["adapter.safetensors", "fingerprint.safetensors"])
def test_forged_tensor_files_are_refused(adapter, tmp_path, refused, name):
    folder = _copy(adapter, tmp_path / "forged")
    header, body = _header((adapter / name).read_bytes())
    for what, content in _edits(header, body):
        _reseal(folder, name, content)
        refused(folder, "", f"{name}: {what}")


def test_every_other_command_refuses_too(adapter, tmp_path, monkeypatch, make_base):
    folder = _copy(adapter, tmp_path / "cut")
    content = (folder / "adapter.safetensors").read_bytes()
    (folder / "adapter.safetensors").write_bytes(content[:-5])
    other = make_base("gpt2", seed=5)
    for command in (["eval"], ["predict"], ["merge"], ["export"]):
        end = [tmp_path / "out"] if command[0] in ("merge", "export") else ["x"] * (command == ["predict"])
        damaged = run_here(monkeypatch, [*command, folder, *end])
        assert (damaged.code, damaged.err.count("\n")) == (6, 1), damaged.err
        assert "adapter.safetensors: has" in damaged.err
        if command != ["eval"]:  # which looks for its data first
            elsewhere = run_here(monkeypatch, [*command, adapter, *end, "--base", other])
            assert (elsewhere.code, elsewhere.err.count("\n")) == (6, 1), elsewhere.err
            assert f"wrong base: the weights of {other}" in elsewhere.err
    assert not (tmp_path / "out").exists()
