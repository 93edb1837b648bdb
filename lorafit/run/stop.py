"""Being asked to stop: by a signal, or because time runs out. The loops look, save, and end with exit code 75."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from lorafit.errors import RecipeError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_SPARE_S = 2.0  # for the end of the process itself


class StopRequest:
    """A StopCheck: called, it says why the run should stop now; None while it should go on.

    While entered it takes the signals; a second SIGINT ends the process at once. Time is up at `time_limit_s` seconds
    after the entry, or at SLURM_JOB_END_TIME: the run stops as much earlier as a save and the slowest step yet take.
    """

    def __init__(self, time_limit_s: float | None = None) -> None:
        self.signal: signal.Signals | None = None
        self.time_limit_s = time_limit_s
        self._deadline: float | None = None
        self._looked: float | None = None
        self._longest_s = 0.0  # between two looks
        self._save_s = 0.0  # the slowest save yet
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
        if self._looked is not None:
            self._longest_s = max(self._longest_s, now - self._looked)
        self._looked = now
        needed = 2 * self._save_s + self._longest_s + _SPARE_S
        if self._deadline is not None and self._deadline - now < needed:
            return "the time limit"
        return None

    def save_took(self, seconds: float) -> None:
        """Leave time for another save of this length."""
        self._save_s = max(self._save_s, seconds)

    def _take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)


def process_age_s() -> float:
    """Seconds since this process began: importing takes some of a time limit, too. 0 where there is no /proc."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(0.0, uptime_s - started / os.sysconf("SC_CLK_TCK"))


def parse_duration(text: str) -> float:
    """Seconds: '90', '90s', '15m', '1.5h', '2d', '30:00' (minutes), '1:30:00'. Raises RecipeError for anything else."""
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip()):
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    if match := re.fullmatch(r"(?:(\d+):)?(\d+):(\d\d)", text.strip()):
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return float(hours * 3600 + minutes * 60 + seconds)
    raise RecipeError(f"--time-limit {text}: must be such as 90s, 15m, 1.5h or 1:30:00")


def _deadline(time_limit_s: float | None) -> float | None:
    """In seconds since 1970, the earlier of the two."""
    ends = [time.time() + time_limit_s] if time_limit_s is not None else []
    if (slurm := os.environ.get("SLURM_JOB_END_TIME", "")).isdigit():
        ends.append(float(slurm))
    return min(ends, default=None)
