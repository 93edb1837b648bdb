"""What happens while a command runs: events, which are written to metrics.jsonl and shown by the display."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafit.training import Stepped


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


@dataclass(frozen=True)
class Progress:
    """How far something other than training is."""

    what: str
    done: int
    total: int


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
    scores: dict[str, Any]
    signatures: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """The run is done."""

    step: int
    seconds: float


Event = Note | Started | Stepped | Progress | Downloading | Validated | Saved | Scored | Finished
Report = Callable[[Event], None]
"""Receives events."""


def to_json(event: Event) -> dict[str, Any] | None:
    """The event's line in metrics.jsonl; None for what is only shown."""
    match event:
        case Stepped():
            return {
                "event": "step",
                "step": event.step,
                "loss": event.loss,
                "learning_rate": event.learning_rate,
                "num_targets": event.num_targets,
                "padding": round(event.padding, 4),
                "tokens_per_second": round(event.num_tokens / event.seconds, 1) if event.seconds else None,
            }
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
