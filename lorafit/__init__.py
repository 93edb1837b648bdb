"""LoRA fine-tuning that reproduces the LoRA paper.

    import lorafit

    run = lorafit.train("quickstart")
    predictor = lorafit.load(run.adapter)
    print(predictor.predict(["name : Museum | area : riverside"]))

Everything of `lorafit.api` is offered here, and loaded with torch when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lorafit.errors import LorafitError
from lorafit.version import __version__

if TYPE_CHECKING:
    from lorafit.api import Predictor, Sampling, evaluate, export, load, merge, predict, report, train

__all__ = [
    "LorafitError",
    "Predictor",
    "Sampling",
    "__version__",
    "evaluate",
    "export",
    "load",
    "merge",
    "predict",
    "report",
    "train",
]


def __getattr__(name: str) -> object:
    """A name of `lorafit.api` (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module("lorafit.api"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
