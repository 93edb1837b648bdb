"""Downloads of the original files: resumed after an interruption, and in place only with the right hash."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from lorafit.data.originals import BASE_URL, PaperFiles
from lorafit.errors import Advice, DataError, LorafitError, NotFoundError
from lorafit.files import removed_if_empty
from lorafit.version import __version__

URL_VARIABLE = "LORAFIT_DATA_URL"
_TRIES = 4  # of a request that failed for a reason that may pass
_FIRST_PAUSE_S = 1.0  # before the second try; twice as long before each further one
_TIMEOUT_S = 30.0  # without a byte
_CHUNK_BYTES = 1 << 16

OnBytes = Callable[[int, int | None], None]
"""Receives how many bytes have arrived, and how many there will be, where the server tells it."""


def blob_sha1(path: Path) -> str:
    """git's hash of a file: SHA-1 of "blob <bytes>\\0" and the content. Raises NotFoundError if it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{path}: cannot be read: {error.strerror}") from None
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def base_url() -> str:
    """Where the files come from: the paper's repository, or the mirror that LORAFIT_DATA_URL names."""
    return os.environ.get(URL_VARIABLE, BASE_URL).rstrip("/")


@dataclass(frozen=True)
class FetchedFile:
    """A file of the original data, in place; `fresh` if it was downloaded just now."""

    path: Path
    num_bytes: int
    fresh: bool


def fetch_files(
    data_set: PaperFiles, root: Path, progress: Callable[[str, int, int | None], None]
) -> list[FetchedFile]:
    """Download the files of a data set to its folder in `root`. `progress` receives each file's name and how far it is.

    Raises what `download` raises.
    """
    files = []
    for file in data_set.files:
        name = f"{data_set.folder}/{file.name}"
        target = root / name
        fresh = download(f"{base_url()}/{name}", target, file.blob_sha1, partial(progress, name))
        files.append(FetchedFile(target, target.stat().st_size, fresh))
    return files


def download(url: str, target: Path, wanted_sha1: str, progress: OnBytes) -> bool:
    """Download `url` to `target`; False when it is there already.

    What has come stays in `<target>.part`, and the next call continues there. Raises NotFoundError when the server has
    no such file or does not answer, DataError when it gives another content, LorafitError when the file cannot be
    written.
    """
    if target.is_file() and blob_sha1(target) == wanted_sha1:
        return False
    part = target.with_name(target.name + ".part")
    with removed_if_empty(part.parent), _opened(part) as stream:
        resumed = stream.seek(0, os.SEEK_END) > 0
        _transfer(url, stream, progress)
        found = blob_sha1(part)
        if (
            found != wanted_sha1 and resumed
        ):  # the older part may be of something else: once more, from the start
            stream.truncate(0)
            _transfer(url, stream, progress)
            found = blob_sha1(part)
        if found != wanted_sha1:
            part.unlink()
            raise DataError(
                f"{target.name}: what {url} gives is not the original file (git blob SHA-1 {found}, not {wanted_sha1})"
            )
        os.fsync(stream.fileno())
        part.replace(target)
    return True


@contextmanager
def _opened(part: Path) -> Iterator[IO[bytes]]:
    """The unfinished file, for this process alone."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                yield stream
            finally:
                if part.exists() and not part.stat().st_size:
                    part.unlink()  # nothing came
    except BlockingIOError:
        raise LorafitError(
            f"{part}: another process is downloading this file", Advice("wait for it")
        ) from None
    except OSError as error:
        raise LorafitError(f"{part}: cannot be written: {error.strerror or error}") from error


def _transfer(url: str, stream: IO[bytes], progress: OnBytes) -> None:
    """Append the rest of `url`; a connection that breaks is taken up again where it broke."""
    for attempt in range(_TRIES):
        try:
            return _receive(url, stream, progress)
        except HTTPError as error:
            if error.code < 500 and error.code not in (
                HTTPStatus.TOO_MANY_REQUESTS,
                HTTPStatus.REQUEST_TIMEOUT,
            ):
                raise NotFoundError(f"{url}: HTTP {error.code} {error.reason}".rstrip()) from None
            reason = f"HTTP {error.code}"
        except (HTTPException, URLError, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            if url.startswith("file:"):
                break
        if attempt + 1 < _TRIES:
            time.sleep(_pause_s(attempt))
    kept = "; what has come is kept" if stream.tell() else ""
    raise NotFoundError(
        f"{url}: no answer ({reason}){kept}",
        Advice("check the network and try again"),
        Advice("put the files of examples/NLG/data of microsoft/LoRA into a folder, and set data.dir to it"),
    )


def _receive(url: str, stream: IO[bytes], progress: OnBytes) -> None:
    start = stream.seek(0, os.SEEK_END)
    headers = {"User-Agent": f"lorafit/{__version__}"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S)
    except HTTPError as error:
        if start and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            error.close()  # nothing is left to come; the hash tells whether all is right
            return
        raise
    with answer:
        if answer.status != HTTPStatus.PARTIAL_CONTENT:  # from the start, whatever was asked for
            stream.truncate(0)
            start = 0
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        done = start
        while chunk := answer.read(_CHUNK_BYTES):
            stream.write(chunk)
            done += len(chunk)
            progress(done, total)
        stream.flush()
        if total is not None and done < total:
            raise ConnectionError(f"the connection broke after {done} of {total} bytes")


def _pause_s(attempt: int) -> float:
    return _FIRST_PAUSE_S * 2.0**attempt
