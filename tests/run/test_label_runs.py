"""Runs of classification tasks: cut off and resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM

from lorafit.adapters import read_adapter
from lorafit.errors import InterruptedRunError
from lorafit.models import FAMILIES
from lorafit.run.options import TrainOptions
from lorafit.run.plan import load_plan
from lorafit.run.train import train
from lorafit.training import ProcessGroup
from tests.support.stops import StopAt

ROWS = [
    (f"{name} is {how} .", f"so {name} is {other} .", label)
    for name in ("Ann", "Bob", "Cleo", "Dan", "Eve", "Flo")
    for how, other, label in (
        ("big", "large", 0),
        ("big", "small", 1),
        ("old", "aged", 0),
        ("old", "young", 1),
    )
]

RECIPE = """
[model]
base = "{base}"
[method]
name = "lora"
r = 2
alpha = 4
dropout = 0.2
{start}
[task]
name = "{task}"
[data]
train = "{data}"
valid = "{data}"
[train]
epochs = 3
batch_size = 5
learning_rate = 1e-2
warmup_steps = 1
log_every = 1
checkpoint_every = 4
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random RoBERTa."""
    folder = tmp_path_factory.mktemp("roberta")
    tokenizer = FAMILIES["roberta"].tiny_tokenizer([" ".join(row[:2]) for row in ROWS])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = FAMILIES["roberta"].tiny_config(
        vocab_size=len(tokenizer), hidden_size=16, num_attention_heads=2, intermediate_size=32
    )
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with the columns of RTE and WNLI."""
    path = tmp_path_factory.mktemp("rte") / "rows.jsonl"
    rows = [{"sentence1": a, "sentence2": b, "label": label} for a, b, label in ROWS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Job:
    """A recipe for the tiny base, and its run folder."""

    def __init__(self, folder: Path, base: Path, data: Path, task: str = "rte", start: str = "") -> None:
        self.recipe, self.folder = folder / "recipe.toml", folder / "run"
        folder.mkdir()
        self.recipe.write_text(RECIPE.format(base=base, data=data, task=task, start=start))

    def run(self, *overrides: str, group: ProcessGroup | None = None) -> None:
        """Train."""
        plan = load_plan(str(self.recipe), list(overrides))
        train(plan, self.folder, lambda _: None, TrainOptions(), group or ProcessGroup())

    def events(self, *kinds: str) -> list[dict[str, object]]:
        """The lines of metrics.jsonl of these kinds, without what is measured."""
        lines = map(json.loads, (self.folder / "metrics.jsonl").read_text().splitlines())
        measured = {"tokens_per_second", "seconds", "memory_bytes"}
        return [
            {k: v for k, v in line.items() if k not in measured} for line in lines if line["event"] in kinds
        ]

    def tensors(self) -> dict[str, torch.Tensor]:
        """The best adapter's."""
        return read_adapter(self.folder / "adapter").tensors


def test_a_run_that_was_cut_off_ends_the_same(base: Path, data: Path, tmp_path: Path) -> None:
    whole, cut = Job(tmp_path / "whole", base, data), Job(tmp_path / "cut", base, data)
    whole.run()
    for looks in (3, 6, 2, 7):
        with pytest.raises(InterruptedRunError):
            cut.run(group=ProcessGroup(StopAt(looks)))
    cut.run()
    kinds = ("step", "validation", "score")
    assert cut.events(*kinds) == whole.events(*kinds)
    assert {line["step"] for line in whole.events("step")} == set(range(1, 16))
    ours, theirs = cut.tensors(), whole.tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    predictions = [job.folder / "predictions" / "valid.jsonl" for job in (cut, whole)]
    assert predictions[0].read_bytes() == predictions[1].read_bytes()
