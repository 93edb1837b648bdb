"""Long streams of small blocks: in one thread, and with every block's memory given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lorafit.allocator import give_back_freed


@contextmanager
def low_memory() -> Iterator[None]:
    """One thread for the length of the block: several would only wait for each other on blocks this small. And from
    here on, what is freed goes back to the system."""
    give_back_freed()
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
