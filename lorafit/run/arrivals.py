"""The bytes of what comes from the hub, as events."""

from __future__ import annotations

from contextlib import AbstractContextManager

from lorafit.hub import OnBytes, all_of_them
from lorafit.run.events import Downloading, Report


def arrivals(name: str, report: Report) -> AbstractContextManager[OnBytes]:
    """Receives the bytes of several files, and tells once that all of them are there."""
    return all_of_them(lambda num_bytes, total: report(Downloading(name, num_bytes, total)))
