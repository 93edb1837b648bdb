"""Requests to stop: a signal, or time that runs out. The loops check, save, and end with exit code 75."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_SPARE_S = 2.0  # for the end of the process itself


class StopRequest:
    """A StopCheck: called, it returns why the run should stop now, or None.

    As a context it catches the signals; a second SIGINT ends the process at once. Time is up `time_limit_s` seconds
    after the context is entered, or at SLURM_JOB_END_TIME. The run stops early enough to save: the slowest step so far
    and twice the slowest save are left.
    """

    def __init__(self, time_limit_s: float | None = None) -> None:
        self.signal: signal.Signals | None = None
        self.time_limit_s = time_limit_s
        self._deadline: float | None = None
        self._checked: float | None = None
        self._longest_s = 0.0  # between two checks
        self._save_s = 0.0  # the slowest save so far
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._deadline = _deadline(self.time_limit_s)
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __call__(self) -> str | None:
        if self.signal is not None:
            return self.signal.name
        now = time.time()
        if self._checked is not None:
            self._longest_s = max(self._longest_s, now - self._checked)
        self._checked = now
        needed = 2 * self._save_s + self._longest_s + _SPARE_S
        if self._deadline is not None and self._deadline - now < needed:
            return "the time limit"
        return None

    def save_took(self, seconds: float) -> None:
        """Leave time for another save that takes as long."""
        self._save_s = max(self._save_s, seconds)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)


def process_age_s() -> float:
    """Seconds since this process began: imports count towards a time limit, too. 0 where there is no /proc."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(0.0, uptime_s - started / os.sysconf("SC_CLK_TCK"))


def _deadline(time_limit_s: float | None) -> float | None:
    """The earlier end of the two, in seconds since 1970."""
    ends = [time.time() + time_limit_s] if time_limit_s is not None else []
    if (slurm := os.environ.get("SLURM_JOB_END_TIME", "")).isdigit():
        ends.append(float(slurm))
    return min(ends, default=None)
