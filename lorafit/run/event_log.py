"""metrics.jsonl: the event log of a run."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import IO

from lorafit.errors import LorafitError
from lorafit.run.events import Event, to_json


class EventLog:
    """metrics.jsonl: one JSON object per event, written as it happens; of the steps, every `log_every`-th.

    The file is cut to `num_bytes` first: what was logged after a checkpoint will be logged again.
    """

    def __init__(self, path: Path, log_every: int, num_bytes: int = 0) -> None:
        self.path = path
        self.log_every = log_every
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: IO[str] = path.open("a", encoding="utf-8", buffering=1)
            self._stream.truncate(min(num_bytes, path.stat().st_size))
        except OSError as error:
            raise self._cannot(error) from error

    def __call__(self, event: Event) -> None:
        """Log an event, if it is one that is logged."""
        line = to_json(event)
        if line is None or (line["event"] == "step" and line["step"] % self.log_every):
            return
        try:
            self._stream.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise self._cannot(error) from error

    def sync(self) -> int:
        """Make sure that everything is on disk. Returns the size in bytes."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise self._cannot(error) from error
        return self.path.stat().st_size

    def close(self) -> None:
        with contextlib.suppress(
            OSError
        ):  # a line that found no room, which was an error when it was written
            self._stream.close()

    def _cannot(self, error: OSError) -> LorafitError:
        return LorafitError(f"{self.path}: cannot be written: {error.strerror}")
