"""Families of runs of tiny models, inside this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lorafit.adapters import read_adapter
from lorafit.adapters.folder import TENSOR_FILE
from lorafit.run.events import Event, Note, OfMember
from lorafit.run.files.checkpoint import newest_checkpoint
from lorafit.run.options import TrainOptions
from lorafit.run.plan import Plan, load_plan
from lorafit.run.train import train
from lorafit.sweep.family import FamilyOptions, Job, Outcome, train_family
from lorafit.training import ProcessGroup
from tests.conftest import recipe_overrides
from tests.support.families import sums_alike
from tests.support.tiny_encoders import save_encoder, write_sst2

MEASURED = {"tokens_per_second", "seconds", "bytes", "memory_bytes"}


@dataclass
class Families:
    """Trains runs of one recipe below a folder, alone or as a family."""

    recipe: str
    overrides: Sequence[str]
    folder: Path
    notes: list[str] = field(default_factory=list)

    def plan(self, changes: Mapping[str, Any]) -> Plan:
        return load_plan(
            self.recipe, [*self.overrides, *(f"{key}={value}" for key, value in changes.items())]
        )

    def alone(self, name: str, changes: Mapping[str, Any]) -> Path:
        """The folder of a run that is trained by itself."""
        folder = self.folder / "alone" / name
        train(self.plan(changes), folder, self.note, TrainOptions(), ProcessGroup())
        return folder

    def together(
        self,
        family: Mapping[str, Mapping[str, Any]],
        under: str = "together",
        group: ProcessGroup | None = None,
        at_once: int | None = None,
    ) -> dict[str, Outcome]:
        """What became of each run, by name; their folders are `folder`/`under`/<name>."""
        jobs = [Job(name, self.plan(changes), self.folder / under / name) for name, changes in family.items()]
        outcomes = train_family(jobs, FamilyOptions(at_once=at_once), self.note, group or ProcessGroup())
        return dict(zip(family, outcomes, strict=True))

    def note(self, event: Event) -> None:
        """Keep the notes."""
        name, inner = (f"{event.name}: ", event.event) if isinstance(event, OfMember) else ("", event)
        if isinstance(inner, Note):
            self.notes.append(name + inner.text)


@pytest.fixture
def texts(gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> Callable[..., Families]:
    """A function that makes families which learn to write texts."""

    def make(**changes: Any) -> Families:
        settings: dict[str, Any] = {"train__epochs": 2, "train__checkpoint_every": 3, "train__batch_size": 4}
        settings |= {"eval__metrics": ["bleu"], "model__dropout": 0.1}
        chosen = recipe_overrides(gpt2_base, e2e_dir, **(settings | changes))
        return Families("e2e_gpt2m", [text for text in chosen if text != "--set"], tmp_path)

    return make


@pytest.fixture
def labels(tmp_path: Path) -> Callable[..., Families]:
    """A function that makes families which learn labels with an encoder of that architecture."""

    def make(model_type: str = "roberta", **changes: Any) -> Families:
        base = save_encoder(tmp_path / "base", model_type)
        values = {
            "model.base": base,
            "data.dir": write_sst2(tmp_path / "glue"),
            "train.epochs": 2,
            "train.batch_size": 8,
            "train.checkpoint_every": 4,
            "train.warmup_ratio": 0.1,
            "train.learning_rate": 0.01,
            "train.log_every": 1,
            **{key.replace("__", "."): value for key, value in changes.items()},
        }
        return Families("sst2_roberta_base", [f"{key}={value}" for key, value in values.items()], tmp_path)

    return make


def assert_same_runs(ours: Path, theirs: Path, kinds: Sequence[str] = ()) -> None:
    """Adapter, checkpoint, log, predictions and scores: bit for bit where long products are summed alike."""
    exact = sums_alike()
    for folder in ("adapter", "adapter-last"):
        a, b = read_adapter(ours / folder), read_adapter(theirs / folder)
        assert a.tensors.keys() == b.tensors.keys()
        for name, tensor in a.tensors.items():
            assert tensor.equal(b.tensors[name]) if exact else _near(tensor, b.tensors[name]), name
        hashes = {each.card.files[TENSOR_FILE].sha256 for each in (a, b)}
        assert len(hashes) == 1 or not exact
        unlike: Any = {"provenance": {"created"}, "files": True, "seal": True}
        made = [each.card.model_dump(exclude=unlike) for each in (a, b)]
        assert made[0] == made[1]
    assert (ours / "recipe.toml").read_text() == (theirs / "recipe.toml").read_text()
    if not exact:
        return
    assert _events(ours, kinds) == _events(theirs, kinds)
    for name in ("scores.json", "predictions/test.jsonl"):
        if (ours / name).exists() or (theirs / name).exists():
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    last, other = newest_checkpoint(ours / "checkpoints")[1], newest_checkpoint(theirs / "checkpoints")[1]
    assert last is not None
    assert other is not None
    assert last.position == other.position
    assert all(state.equal(other.rng[0][kind]) for kind, state in last.rng[0].items())


def _near(a: Any, b: Any) -> bool:
    return bool((a - b).norm() <= 1e-6 * a.norm())


def _events(run: Path, kinds: Sequence[str]) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    kept = (line for line in lines if not kinds or line["event"] in kinds)
    return [{k: v for k, v in line.items() if k not in MEASURED} for line in kept]
