"""A hub on this machine: it gives the files of data sets and models as huggingface.co does, commit by commit."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

Files = Mapping[str, bytes]
"""The files of one commit, by their paths."""


@dataclass(frozen=True)
class Refusal:
    """How the hub answers: a status and the word that says why; or the first half of a file, and no more."""

    status: int = 200
    code: str = ""
    breaks_off: bool = False


class Hub(ThreadingHTTPServer):
    """`commits` of every data set or model, the last one is main; `requests` are the paths that were asked for.

    `refusals`: what is refused, by the end of its path or the name of the repository.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commits: dict[str, dict[str, Files]] = {}
        self.requests: list[str] = []
        self.refusals: dict[str, Refusal] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, hub_id: str, files: Files) -> str:
        """Put files there; returns the commit."""
        content = b"".join(name.encode() + data for name, data in sorted(files.items()))
        commit = hashlib.sha1(content).hexdigest()
        self.commits.setdefault(hub_id, {})[commit] = files
        return commit

    def resolve(self, hub_id: str, revision: str) -> tuple[str, Files] | None:
        """The commit for which a revision stands, and its files."""
        commits = self.commits.get(hub_id, {})
        if revision == "main" and commits:
            return list(commits.items())[-1]
        return (revision, commits[revision]) if revision in commits else None


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer_by_path()

    def do_POST(self) -> None:
        self._answer_by_path()

    def do_HEAD(self) -> None:
        self._answer_by_path()

    def _answer_by_path(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        parts = parts[parts[0] == "api" :]
        parts = parts[parts[0] in ("datasets", "models") :]  # a model's files are asked for without it
        hub_id, rest = "/".join(parts[:2]), parts[2:]
        refusal = next(
            (each for name, each in self.server.refusals.items() if name == hub_id or path.endswith(name)),
            None,
        )
        if refusal and not refusal.breaks_off:
            self._send(refusal.status, b"{}", {"X-Error-Code": refusal.code})
            return
        what, revision = (rest[0], rest[1]) if rest else ("revision", "main")
        if hub_id not in self.server.commits:
            self._missing("RepoNotFound")
            return
        found = self.server.resolve(hub_id, revision)
        if found is None:
            self._missing("RevisionNotFound")
            return
        commit, files = found
        if what == "resolve":
            self._file(commit, files.get("/".join(rest[2:])), breaks_off=refusal is not None)
        elif what == "revision":
            siblings = [{"rfilename": name} for name in files]
            self._json({"id": hub_id, "sha": commit, "siblings": siblings, "private": False, "tags": []})
        else:
            self._json(_entries(files, "/".join(rest[2:])))

    def _file(self, commit: str, data: bytes | None, *, breaks_off: bool) -> None:
        if data is None:
            self._missing("EntryNotFound", commit)
            return
        kept = data[: len(data) // 2] if breaks_off else data
        self._send(200, kept, {"X-Repo-Commit": commit, "ETag": f'"{_oid(data)}"'}, len(data))

    def _missing(self, code: str, commit: str = "") -> None:
        self._send(404, b"{}", {"X-Error-Code": code, **({"X-Repo-Commit": commit} if commit else {})})

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.close_connection = length not in (None, len(body))

    def log_message(self, *_: Any) -> None:
        pass


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def _entries(files: Files, folder: str) -> list[dict[str, Any]]:
    """Files and folders in a folder."""
    found = [{"type": "file", "path": n, "size": len(data), "oid": _oid(data)} for n, data in files.items()]
    folders = {name.rpartition("/")[0] for name in files if "/" in name}
    found += [{"type": "directory", "path": name, "oid": _oid(name.encode())} for name in folders]
    return [entry for entry in found if str(entry["path"]).startswith(f"{folder}/" if folder else "")]


@contextmanager
def open_hub() -> Iterator[Hub]:
    """A hub for the time being."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def use_hub(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process reach the hub, with a cache of its own."""
    import datasets.config
    from huggingface_hub import constants

    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    go_offline(monkeypatch, offline=False)
    for name, value in {
        "ENDPOINT": hub.address,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HOME": str(cache),
        "HF_HUB_CACHE": str(cache / "hub"),
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    for name, value in {"HF_ENDPOINT": hub.address, "HF_DATASETS_CACHE": str(cache / "datasets")}.items():
        monkeypatch.setattr(datasets.config, name, value)
        monkeypatch.setenv(name, value)


def go_offline(monkeypatch: pytest.MonkeyPatch, *, offline: bool = True) -> None:
    """Let this process know that there is no network, or that there is."""
    import datasets.config
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", offline)
