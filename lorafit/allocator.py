"""Whether memory that tensors free stays with the process, where the C library is glibc. Elsewhere nothing changes."""

from __future__ import annotations

import contextlib
import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_MOST_KEPT, _LEAST_GIVEN_BACK = 32 << 20, 2 << 20  # bytes of a block; glibc takes no more than the former
_NO_TRIM = (1 << 31) - 1


def keep_freed() -> None:
    """Keep freed blocks of up to 32 MB, instead of giving them back and having them zeroed again.

    The activations of a step are made anew in the next: of the quickstart's page faults half go so, and a tenth of the
    time.
    """
    _call("mallopt", _MMAP_THRESHOLD, _MOST_KEPT)
    _call("mallopt", _TRIM_THRESHOLD, _NO_TRIM)


def give_back_freed() -> None:
    """Give freed blocks of 2 MB and more back: glibc would keep those of up to 32 MB once it has seen them come and
    go."""
    _call("mallopt", _MMAP_THRESHOLD, _LEAST_GIVEN_BACK)


def trim() -> None:
    """Give back all that is free now."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    with contextlib.suppress(OSError, AttributeError):  # no such library, no such function
        getattr(ctypes.CDLL(None), name)(*arguments)
