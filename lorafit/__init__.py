"""LoRA fine-tuning that reproduces the LoRA paper, on your own data too.

The names of `lorafit.api` are imported, and torch with them, when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorafit.api import Predictor, export, load, merge, train

__version__ = "0.1.0"
__all__ = ["Predictor", "__version__", "export", "load", "merge", "train"]


def __getattr__(name: str) -> object:
    """A name of `lorafit.api` (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module("lorafit.api"), name)
    return value
