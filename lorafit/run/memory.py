"""How much memory the process has taken."""

from __future__ import annotations

import resource
import sys


def peak_memory() -> int:
    """The most bytes so far: of the GPU where one is used, else of the process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
