"""`export --push-to-hub` against a hub of our own on this machine, and without one."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.adapter_fixtures import make_adapter, run_here

ROOT = Path(__file__).resolve().parents[2]


class Hub(HTTPServer):
    """Takes a repository and one commit, as huggingface.co does, and remembers both."""

    def __init__(self, refuses: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refuses = refuses
        self.created: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refuses:
            self._answer({"error": "Invalid credentials"}, 401)
        elif self.path.endswith("/repos/create"):
            self.server.created = json.loads(body)
            self._answer({"url": f"{self.server.address}/me/adapter"})
        elif "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for f in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        elif "/commit/" not in self.path:  # the hub checks a README's front matter
            self._answer({"errors": [], "warnings": []})
        else:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"{self.server.address}/me/adapter/commit/1"
            self._answer({"success": True, "commitOid": "1", "commitUrl": url, "hookOutput": ""})

    def do_GET(self) -> None:
        self._answer({"id": "me/adapter", "sha": "0", "siblings": [], "private": False, "tags": []})

    def _answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(params=[False], ids=["willing"])
def hub(request: pytest.FixtureRequest) -> Iterator[Hub]:
    server = Hub(request.param)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _push(adapter: Path, output: Path, endpoint: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": "hf_test",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-m", "lorafit", "export", str(adapter), str(output), "--push-to-hub"]
    return subprocess.run(
        [*command, "me/adapter", "--private"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **settings, **environment},
        check=False,
    )


def test_every_file_of_the_export_arrives(gpt2_base, tmp_path, hub):
    make_adapter(gpt2_base, tmp_path / "adapter")
    done = _push(tmp_path / "adapter", tmp_path / "out", hub.address)
    assert done.returncode == 0, done.stderr
    assert "/me/adapter/commit/1" in done.stdout
    assert (hub.created["name"], hub.created["organization"]) == ("adapter", "me")
    assert hub.files == {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert set(hub.files) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}


@pytest.mark.parametrize("hub", [True], ids=["refusing"], indirect=True)
def test_a_hub_that_refuses_is_quoted_in_one_line(gpt2_base, tmp_path, hub):
    make_adapter(gpt2_base, tmp_path / "adapter")
    done = _push(tmp_path / "adapter", tmp_path / "out", hub.address)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "the hub refuses" in done.stderr
    assert "hf auth login" in done.stderr
    assert (tmp_path / "out" / "adapter_config.json").is_file()


def test_offline_the_export_stays_and_the_way_on_is_told(gpt2_base, tmp_path, monkeypatch):
    make_adapter(gpt2_base, tmp_path / "adapter")
    outcome = run_here(
        monkeypatch, ["export", tmp_path / "adapter", tmp_path / "out", "--push-to-hub", "me/adapter"]
    )
    assert outcome.code == 1
    assert outcome.err.startswith("error: me/adapter: the hub is out of reach")
    assert f"hf upload me/adapter {tmp_path / 'out'}" in outcome.err
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()


def test_a_name_that_cannot_be_one_is_a_usage_error(gpt2_base, tmp_path, monkeypatch):
    make_adapter(gpt2_base, tmp_path / "adapter")
    outcome = run_here(
        monkeypatch, ["export", tmp_path / "adapter", tmp_path / "out", "--push-to-hub", "a b/c"]
    )
    assert outcome.code == 2
    assert outcome.err.startswith("error: a b/c: ")
