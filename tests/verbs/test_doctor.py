"""What the doctor finds is so."""

from __future__ import annotations

import http.server
import importlib.metadata
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import torch

from lorafit.verbs.doctor import NEEDED, Part, examine, hub


class Server(http.server.BaseHTTPRequestHandler):
    """Answers everything, at `/slow` after a while."""

    def do_HEAD(self) -> None:
        if self.path == "/slow":
            time.sleep(2)
        self.send_response(404 if self.path == "/missing" else 200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


def test_every_part_is_looked_at(cli) -> None:
    found = json.loads(cli("doctor", "--json").stdout)
    assert set(found) == set(get_args(Part))
    for name in NEEDED:
        assert found["versions"][name]["value"] == importlib.metadata.version(name)
    assert all(speed["value"] > 0.01 for speed in found["speed"].values())
    assert found["network"]["hub"]["value"] == "switched off (HF_HUB_OFFLINE)"
    text = cli("doctor").stdout
    assert f"ok torch: {torch.__version__}" in text
    assert "METEOR 1.5 (Java)" in text


def test_what_is_missing_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "peft":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    (peft,) = [each for each in examine() if each.name == "peft"]
    assert (peft.ok, peft.value) == (False, "not installed")
    assert peft.cure == "pip install 'lorafit[peft]'"


def test_a_hub_that_answers(server: str) -> None:
    assert hub(server, 3, offline=False).value == f"{server} answers"
    assert hub(f"{server}/missing", 3, offline=False).value == f"{server}/missing answers (HTTP 404)"


def test_a_hub_that_does_not(server: str) -> None:
    started = time.monotonic()
    for endpoint in (f"{server}/slow", "http://127.0.0.1:9", "nonsense"):
        found = hub(endpoint, 0.2, offline=False)
        assert not found.ok
        assert "out of reach" in str(found.value)
        assert "lorafit fetch" in found.cure
    assert time.monotonic() - started < 1.5


def test_the_folders_need_not_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    places = [str(each.value) for each in examine() if each.part == "places"]
    assert any(place.startswith(str(tmp_path / "not" / "yet" / "lorafit")) for place in places)
    assert not (tmp_path / "not").exists()
