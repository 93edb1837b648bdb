"""Downloads from a server of our own: resumed, verified, and in place only when whole."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lorafit.data import download as download_module
from lorafit.data.download import blob_sha1, download
from lorafit.errors import DataError, LorafitError, NotFoundError

CONTENT = bytes(range(256)) * 1000
SHA1 = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under every path; what it does wrong can be chosen."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges: list[str | None] = []  # of each request
        self.breaks = 0  # so many answers end in the middle
        self.statuses: list[int] = []  # of the next answers
        self.knows_ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.server.statuses:
            self.send_error(self.server.statuses.pop(0))
            return
        content = self.server.content
        start = (
            int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.knows_ranges else 0
        )
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content)
        if self.server.breaks:
            self.server.breaks -= 1
            end = start + (end - start) // 2
        self.wfile.write(content[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download_module, "_FIRST_PAUSE_S", 0.0)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(server: Server, target: Path) -> tuple[bool, list[tuple[int, int | None]]]:
    told: list[tuple[int, int | None]] = []
    fresh = download(server.url, target, SHA1, lambda done, total: told.append((done, total)))
    return fresh, told


def test_whole_verified_and_not_fetched_again(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    fresh, told = fetch(server, target)
    assert fresh
    assert target.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    assert fetch(server, target) == (False, [])
    assert len(server.ranges) == 1


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.breaks = 2
    _, told = fetch(server, tmp_path / "file")
    half, three_quarters = len(CONTENT) // 2, len(CONTENT) * 3 // 4
    assert server.ranges == [None, f"bytes={half}-", f"bytes={three_quarters}-"]
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_the_next_call_goes_on_from_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    server.breaks = 4
    with pytest.raises(NotFoundError, match="what has come is kept"):
        fetch(server, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    there = (tmp_path / "file.part").stat().st_size
    server.ranges.clear()
    assert fetch(server, tmp_path / "file")[0]
    assert server.ranges == [f"bytes={there}-"]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_an_older_part_of_something_else_is_thrown_away(
    server: Server, tmp_path: Path, knows_ranges: bool
) -> None:
    server.knows_ranges = knows_ranges
    for left in (b"something else", CONTENT + b"and more", CONTENT):
        (tmp_path / "file.part").write_bytes(left)
        assert fetch(server, tmp_path / "file")[0]
        assert (tmp_path / "file").read_bytes() == CONTENT
        (tmp_path / "file").unlink()


def test_another_content_is_an_error_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.content = b"not found, but politely"
    with pytest.raises(DataError, match=rf"^file: .* is not the original file .*not {SHA1}"):
        fetch(server, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_changed_file_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"edited")
    assert fetch(server, tmp_path / "file")[0]
    assert blob_sha1(tmp_path / "file") == SHA1


def test_a_server_that_is_busy_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429, 500]
    assert fetch(server, tmp_path / "file")[0]


def test_a_file_that_is_not_there_is_said_at_once(server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(NotFoundError, match="file: HTTP 404 Not Found"):
        fetch(server, tmp_path / "file")
    assert len(server.ranges) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_server_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "_FIRST_PAUSE_S", 0.0)
    with pytest.raises(NotFoundError, match=r"no answer \(.*refused.*check the network"):
        download("http://127.0.0.1:9/file", tmp_path / "file", SHA1, lambda *_: None)


def test_two_at_once_do_not_mix(server: Server, tmp_path: Path) -> None:
    with (
        download_module._opened(tmp_path / "file.part"),
        pytest.raises(LorafitError, match="another process is downloading"),
    ):
        fetch(server, tmp_path / "file")


def test_the_hash_is_gits(tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert blob_sha1(tmp_path / "hello") == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
