"""The Hugging Face hub in our words: how far a download is, and why it gives or takes nothing.

The client's errors are imported when there is one to tell: they bring all that speaks to a network.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from tqdm.std import tqdm

OnBytes = Callable[[int, int], None]
"""Receives how many bytes have arrived, and how many there will be of what has begun."""

_RECEIVED = "Downloading bytes"  # a second bar beside that of the bytes on the disk
_OF_THE_CLIENT = ("TransportError", "RequestException")  # of httpx, and of requests


def why_no_hub(error: BaseException) -> str:
    """In a few words, without the hub's advice: by the first of the causes of an error that says why."""
    found = (why for each in causes(error) if (why := _why(each)) is not None)
    return next(found, type(causes(error)[-1]).__name__)


def is_of_hub(error: BaseException) -> bool:
    """Whether an error, or what has caused it, is that something is not to be had, rather than unreadable."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    return any(isinstance(each, LocalEntryNotFoundError) or _why(each) for each in causes(error))


def causes(error: BaseException) -> list[BaseException]:
    """The error, and what it came from, one after the other."""
    found, cause = [error], error.__cause__ or error.__context__
    while cause is not None:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _why(error: BaseException) -> str | None:
    """None where the error does not say why."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match error:
        case HFValidationError():
            return "no name of a repository"
        case GatedRepoError():
            return "it is for those whom its owner has given access"
        case RepositoryNotFoundError():
            return "there is no such repository, or it is private"
        case RevisionNotFoundError():
            return "there is no such revision"
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set"
        case LocalEntryNotFoundError():
            return None
        case EntryNotFoundError():
            return "it has no such file"
        case HfHubHTTPError() if error.response is not None:
            code = error.response.status_code
            return f"HTTP {code} {HTTPStatus(code).phrase}" if code in list(HTTPStatus) else f"HTTP {code}"
        case ConnectionError():
            return "no connection"
        case OSError(strerror=str(words)):
            return words
    is_of_client = any(kind.__name__ in _OF_THE_CLIENT for kind in type(error).__mro__)
    return "no connection" if is_of_client else None


@contextmanager
def all_of_them(tell: OnBytes) -> Iterator[OnBytes]:
    """Receives the bytes of several files. All that have begun may be there before the next one begins: the end is told
    once, when the block ends."""
    total = 0

    def tell_of_some(num_bytes: int, of: int) -> None:
        nonlocal total
        total = of
        if num_bytes < of:
            tell(num_bytes, of)

    yield tell_of_some
    if total:
        tell(total, total)


def telling(tell: OnBytes) -> type[tqdm[Any]]:
    """A class for the hub's progress bars that draws nothing: bytes that have arrived, and those of all files that have
    begun to come, are told."""

    class Telling(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options | {"file": io.StringIO(), "mininterval": 0})

        def display(self, *_: Any, **__: Any) -> None:
            is_of_bytes = self.unit == "B" and not str(self.desc).startswith(_RECEIVED)
            if is_of_bytes and self.total:
                tell(int(self.n), int(self.total))

    return Telling
