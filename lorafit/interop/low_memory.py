"""Long streams of small blocks: in one thread, and with every block's memory given back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_M_MMAP_THRESHOLD = -3  # of glibc's mallopt
_GIVEN_BACK_BYTES = 2 << 20


@contextmanager
def low_memory() -> Iterator[None]:
    """One thread for the length of the block: several would only wait for each other on blocks this small.

    And from here on, blocks of 2 MB and more go back to the system when freed: glibc would keep blocks of up
    to 32 MB once it has seen them come and go. Elsewhere than on glibc nothing changes.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _GIVEN_BACK_BYTES)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
