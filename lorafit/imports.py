"""Imports of many modules at once, and of one that must be kept from the network."""

from __future__ import annotations

import gc
import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lorafit.errors import LorafitError, RunCommand


@contextmanager
def importing() -> Iterator[None]:
    """For thousands of modules, among which Python else looks for garbage again and again.

    That is a fifth of their time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def import_bitsandbytes(module: str, key: str) -> Any:
    """A module of bitsandbytes, which the recipe's `key` needs. Raises LorafitError where it is not installed.

    When it is imported on some CPUs, it asks the hub for kernels by the package `kernels`: here it finds none.
    """
    name = f"bitsandbytes.{module}"
    if name in sys.modules:
        return sys.modules[name]
    logger, hidden = logging.getLogger("bitsandbytes"), sys.modules.get("kernels")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it says so in a warning
    sys.modules["kernels"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    except ImportError:
        fault = f"{key}: the package bitsandbytes is not installed"
        raise LorafitError(fault, RunCommand("pip install 'lorafit[quantize]'")) from None
    finally:
        logger.setLevel(level)
        del sys.modules["kernels"]
        if hidden is not None:
            sys.modules["kernels"] = hidden
