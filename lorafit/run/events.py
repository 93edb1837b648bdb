"""What happens while a command runs: events, which are written to metrics.jsonl and shown by the display."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from lorafit.errors import LorafitError
from lorafit.files import JsonObject
from lorafit.run.memory import peak_memory
from lorafit.training import Stepped as Stepped  # an event as well, offered here with the others


@dataclass(frozen=True)
class Note:
    """A line for the reader."""

    text: str


@dataclass(frozen=True)
class Started:
    """Training begins, or continues after `first_step` steps."""

    num_steps: int
    num_examples: int
    num_trained: int
    device: str
    dtype: str
    first_step: int = 0
    num_total: int = 0  # parameters of the model, frozen ones too
    num_rows: Mapping[str, int] = field(default_factory=dict)  # by split, as they are used
    steps_per_epoch: int | None = None  # where it is the same in each


@dataclass(frozen=True)
class FormatChosen:
    """In which number format the frozen weights are held, where the recipe leaves it open, and why."""

    dtype: str
    reason: str


@dataclass(frozen=True)
class Progress:
    """How far something other than training is."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Working:
    """Something began that may take a while, nobody knows how long; it ends with the next one, or with training."""

    what: str


@dataclass(frozen=True)
class Downloading:
    """Bytes of a file that have arrived; `total` where the server tells it."""

    name: str
    num_bytes: int
    total: int | None


@dataclass(frozen=True)
class Validated:
    """Scores on the validation split; `best` says whether no earlier epoch was better."""

    epoch: int
    step: int
    loss: float
    scores: Mapping[str, Any]
    best: bool


@dataclass(frozen=True)
class Saved:
    """An adapter folder or a checkpoint was written."""

    folder: Path
    step: int
    num_bytes: int


@dataclass(frozen=True)
class Scored:
    """Scores on a split; `who` is "adapter" or "base"."""

    split: str
    who: str
    scores: JsonObject
    signatures: JsonObject


@dataclass(frozen=True)
class Finished:
    """The run is done."""

    step: int
    seconds: float


@dataclass(frozen=True)
class OfMember:
    """What happened to one of several runs that train together, by its name."""

    name: str
    event: Event


Event = (
    Note
    | FormatChosen
    | Started
    | Stepped
    | Progress
    | Working
    | Downloading
    | Validated
    | Saved
    | Scored
    | Finished
    | OfMember
)
Report = Callable[[Event], None]
"""Receives events."""


def to_json(event: Event) -> JsonObject | None:
    """The event's line in metrics.jsonl; None for what is only shown."""
    match event:
        case Note():
            return {"event": "note", "text": event.text}
        case Started():
            return {"event": "started", **vars(event), "num_rows": dict(event.num_rows)}
        case Stepped():
            return {
                "event": "step",
                "step": event.step,
                "loss": event.loss,
                "learning_rate": event.learning_rate,
                "grad_norm": event.grad_norm if math.isfinite(event.grad_norm) else None,
                "num_targets": event.num_targets,
                "padding": round(event.padding, 4),
                "tokens_per_second": round(event.num_tokens / event.seconds, 1) if event.seconds else None,
                "memory_bytes": peak_memory(),
            }
        case FormatChosen():
            return {"event": "number_format", "dtype": event.dtype, "reason": event.reason}
        case Validated():
            return {
                "event": "validation",
                "epoch": event.epoch,
                "step": event.step,
                "loss": event.loss,
                **({"scores": dict(event.scores)} if event.scores else {}),
                "best": event.best,
            }
        case Saved():
            return {
                "event": "checkpoint",
                "step": event.step,
                "folder": event.folder.name,
                "bytes": event.num_bytes,
            }
        case Scored():
            return {
                "event": "score",
                "split": event.split,
                "model": event.who,
                "scores": event.scores,
                "signatures": event.signatures,
            }
        case Finished():
            return {"event": "finished", "step": event.step, "seconds": round(event.seconds, 2)}
        case _:
            return None


class EventLog:
    """metrics.jsonl: one JSON object per event, written as it happens; of the steps, every `log_every`-th.

    The file is cut to `num_bytes` first: what was logged after a checkpoint will be logged again. `num_tokens` were
    trained on before; None where that is not known, and then no step tells how many it has been. Whoever is to `follow`
    receives every line that is written.
    """

    def __init__(self, path: Path, log_every: int, num_bytes: int = 0, num_tokens: int | None = 0) -> None:
        self.path = path
        self.log_every = log_every
        self.num_tokens = num_tokens
        self.follow: Callable[[JsonObject], None] = lambda _: None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: IO[str] = path.open("a", encoding="utf-8", buffering=1)
            self._stream.truncate(min(num_bytes, path.stat().st_size))
        except OSError as error:
            raise self._cannot(error) from error

    def __call__(self, event: Event) -> None:
        """Log an event, if it is one that is logged."""
        line = to_json(event)
        match event:
            case Stepped() if self.num_tokens is not None and line is not None:
                self.num_tokens += event.num_tokens
                line["tokens"] = self.num_tokens
        if line is None or (line["event"] == "step" and line["step"] % self.log_every):
            return
        try:
            self._stream.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise self._cannot(error) from error
        self.follow(line)

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
