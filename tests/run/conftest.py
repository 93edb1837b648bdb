"""Runs of a tiny model, inside this process, and comparing what they left."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lorafit.adapters import read_adapter
from lorafit.run.events import Event, Note
from lorafit.run.files.checkpoint import Checkpoint, newest_checkpoint
from lorafit.run.options import TrainOptions
from lorafit.run.plan import load_plan
from lorafit.run.train import TrainResult, train
from lorafit.training import ProcessGroup
from tests.conftest import recipe_overrides

MEASURED = {"tokens_per_second", "seconds", "bytes", "memory_bytes"}


class Runner:
    """Trains the tiny recipe into a folder; `notes` are what the reader was told."""

    def __init__(self, base: Path, data: Path, folder: Path, changes: dict[str, Any]) -> None:
        self.base, self.data, self.folder = base, data, folder
        settings = {"train__epochs": 2, "train__checkpoint_every": 3, "train__batch_size": 4}
        self.changes: dict[str, Any] = (
            settings | {"eval__metrics": ["bleu"], "method__dropout": 0.3} | changes
        )
        self.notes: list[str] = []

    def __call__(
        self, options: TrainOptions | None = None, group: ProcessGroup | None = None, **more: Any
    ) -> TrainResult:
        chosen = recipe_overrides(self.base, self.data, **(self.changes | more))
        plan = load_plan("e2e_gpt2m", [text for text in chosen if text != "--set"])
        return train(plan, self.folder, self.note, options or TrainOptions(), group or ProcessGroup())

    def note(self, event: Event) -> None:
        """Keep the notes."""
        if isinstance(event, Note):
            self.notes.append(event.text)

    @property
    def checkpoint(self) -> Checkpoint:
        """The newest one."""
        found = newest_checkpoint(self.folder / "checkpoints")[1]
        assert found is not None
        return found

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl without what is measured; what a resume says again only where it is asked for."""
        lines = map(json.loads, (self.folder / "metrics.jsonl").read_text().splitlines())
        kept = [{k: v for k, v in line.items() if k not in MEASURED} for line in lines]
        said_again = ("note", "started")
        return [
            line for line in kept if line["event"] in kinds or (not kinds and line["event"] not in said_again)
        ]


@pytest.fixture
def runner(gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> Callable[..., Runner]:
    """A function that makes a Runner for a folder of that name."""
    return lambda name, **changes: Runner(gpt2_base, e2e_dir, tmp_path / name, changes)


def assert_equal_runs(ours: Runner, theirs: Runner, kinds: Sequence[str] = ()) -> None:
    """Adapters, optimizer, random generators, events, predictions and scores: equal bit for bit."""
    for folder in ("adapter", "adapter-last"):
        a, b = read_adapter(ours.folder / folder), read_adapter(theirs.folder / folder)
        assert _same(a.tensors, b.tensors), folder
        assert a.card.provenance.step == b.card.provenance.step
    ours_last, theirs_last = ours.checkpoint, theirs.checkpoint
    assert ours_last.position == theirs_last.position
    for part in ("trained", "optimizer", "rng"):
        assert _same(getattr(ours_last, part), getattr(theirs_last, part)), part
    assert ours.events(*kinds) == theirs.events(*kinds)
    for name in ("scores.json", "predictions/test.jsonl"):
        assert (ours.folder / name).read_bytes() == (theirs.folder / name).read_bytes(), name


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a.equal(b)) if hasattr(a, "equal") else a == b
