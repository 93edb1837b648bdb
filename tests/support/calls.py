"""How much work something is, whatever the machine: the calls of Python functions that it makes."""

from __future__ import annotations

import collections
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def calls_of(act: Callable[[], object]) -> collections.Counter[str]:
    """How often each Python function is called."""
    found: collections.Counter[str] = collections.Counter()

    def note(frame: FrameType, event: str, _value: Any) -> None:
        if event == "call":
            found[frame.f_code.co_qualname] += 1

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return found
