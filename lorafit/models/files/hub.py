"""The Hugging Face hub in our words: how far a download is, and why it gives or takes nothing."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm.std import tqdm

_RECEIVED = "Downloading bytes"  # a second bar beside that of the bytes on the disk


def why_no_hub(error: BaseException) -> str:
    """In a few words, without the hub's advice."""
    match error:
        case HFValidationError():
            return "no name of a repository"
        case GatedRepoError():
            return "it is for those whom its owner has given access"
        case RepositoryNotFoundError():
            return "there is no such repository, or it is private"
        case RevisionNotFoundError():
            return "there is no such revision"
        case HfHubHTTPError() if error.response is not None:
            return f"HTTP {error.response.status_code}"
        case OSError(strerror=str(words)):
            return words
    return type(error).__name__


def telling(tell: Callable[[int, int], None]) -> type[tqdm[Any]]:
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
