"""Runs on several files with weights, and with batches by tokens: planned right, and the same after a stop."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafit.data import TextRow
from lorafit.errors import InterruptedRunError, LorafitError, RecipeError
from lorafit.run.options import TrainOptions
from lorafit.run.plan import Plan, load_plan
from lorafit.run.train import train
from lorafit.training import ProcessGroup
from tests.conftest import CONTEXTS, e2e_sentence
from tests.run.conftest import Runner, assert_equal_runs
from tests.support.stops import StopAt

RESULTS = ("step", "validation", "score", "finished")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Ten rows as jsonl.gz, four rows as csv."""
    folder = tmp_path_factory.mktemp("files")
    rows = [{"mr": context, "ref": e2e_sentence(context)} for context in CONTEXTS[:14]]
    first, second = folder / "a.jsonl.gz", folder / "b.csv"
    first.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows[:10]).encode()))
    second.write_text("mr,ref\n" + "".join(f'"{row["mr"]}","{row["ref"]}"\n' for row in rows[10:]))
    return [str(first), str(second)]


def recipe(folder: Path, base: Path, files: list[str], data: str = "", train: str = "batch_size = 4") -> Path:
    path = folder / "mine.toml"
    path.write_text(f"""
model.base = "{base}"
method = {{ name = "lora", r = 2, targets = "all-linear", dropout = 0.3 }}
task = {{ name = "generation", prompt = "mr", completion = "ref", metrics = ["bleu"] }}
decode = {{ num_beams = 1, max_new_tokens = 8 }}
[data]
train = {json.dumps(files)}
{data}
[train]
epochs = 2
{train}
learning_rate = 1e-2
log_every = 1
checkpoint_every = 3
""")
    return path


class Mixed(Runner):
    """Trains a recipe file."""

    def __init__(self, path: Path, folder: Path) -> None:
        super().__init__(path, path, folder, {})
        self.path = path

    def plan(self) -> Plan:
        return load_plan(self.path, [])

    def train(self, group: ProcessGroup | None = None) -> None:
        train(self.plan(), self.folder, self.note, TrainOptions(), group or ProcessGroup())


SHARE = "test = 0.2\n"
WEIGHTS = SHARE + "weights = [2, 0.5]"


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (WEIGHTS, "batch_size = 4"),
        (SHARE, "batch_tokens = 90"),
        (WEIGHTS, 'batch_tokens = 90\nmicro_batch_size = 1\nbatch_order = "bucketed"'),
    ],
)
def test_a_run_that_was_cut_off_ends_the_same_and_as_it_was_planned(
    gpt2_base: Path, files: list[str], tmp_path: Path, data: str, keys: str
) -> None:
    path = recipe(tmp_path, gpt2_base, files, data, keys)
    whole, cut = Mixed(path, tmp_path / "whole"), Mixed(path, tmp_path / "cut")
    whole.train()
    for looks in (3, 6):
        with pytest.raises(InterruptedRunError):
            cut.train(ProcessGroup(StopAt(looks)))
    cut.train()
    assert_equal_runs(cut, whole, RESULTS)
    steps = whole.events("step")
    plan = whole.plan()
    assert plan.steps_known
    assert len(steps) == plan.schedule.num_steps
    assert steps[-1]["learning_rate"] == pytest.approx(0.01 / plan.schedule.num_steps)
    if "tokens" not in keys:
        sizes = plan.rows.sizes("train")
        assert plan.rows_per_epoch == 2 * sizes[0] + round(sizes[1] / 2)
        assert plan.schedule.num_steps == 2 * -(-plan.rows_per_epoch // 4)


def test_an_example_of_more_tokens_than_a_step_is_said(
    gpt2_base: Path, files: list[str], tmp_path: Path
) -> None:
    plan = load_plan(recipe(tmp_path, gpt2_base, files, train="batch_tokens = 20"), [])
    assert plan.notes == (
        "8 of 14 training examples have more than 20 tokens (train.batch_tokens); each is a step of its own",
    )


def test_files_count_one_after_the_other_and_shares_are_taken_of_all(
    gpt2_base: Path, files: list[str], tmp_path: Path
) -> None:
    plan = load_plan(recipe(tmp_path, gpt2_base, files), [])
    assert (plan.rows.sizes("train"), plan.num_train_rows, plan.rows_per_epoch) == ([10, 4], 14, 14)
    shared = load_plan(recipe(tmp_path, gpt2_base, files, "valid = 0.4"), [])
    valid = [row.prompt for row in shared.rows.rows("valid") if isinstance(row, TextRow)]
    assert set(valid) & set(CONTEXTS[10:14])
    assert set(valid) & set(CONTEXTS[:10])
    assert len(valid) + shared.num_train_rows == 14


def test_identity_covers_files_and_weights(gpt2_base: Path, files: list[str], tmp_path: Path) -> None:
    run = Mixed(recipe(tmp_path, gpt2_base, files, WEIGHTS), tmp_path / "run")
    run.train()
    recipe(tmp_path, gpt2_base, files, SHARE + "weights = [3, 0.5]")
    with pytest.raises(RecipeError, match=r"data\.weights: \(2\.0, 0\.5\) -> \(3\.0, 0\.5\)"):
        run.train()
    plans = [load_plan(recipe(tmp_path, gpt2_base, order), []) for order in (files, files[::-1])]
    assert plans[0].rows.identity("train") != plans[1].rows.identity("train")


def test_without_the_tokenizer_steps_are_estimated_and_it_is_said(
    cli: Callable[..., Any], files: list[str], tmp_path: Path
) -> None:
    path = recipe(tmp_path, Path("openai-community/gpt2-medium"), files, train="batch_tokens = 90")
    told = cli("train", str(path), "--dry-run").stdout
    assert "optimizer steps: about " in told
    assert "estimated without the tokenizer" in told


@pytest.mark.parametrize(
    ("files", "data", "train", "message"),
    [
        (
            ["a.csv", "./a.csv"],
            "",
            "batch_size = 2",
            r"\[data\] train: a\.csv is named twice; set data\.weights",
        ),
        (["a.csv", "b.csv"], "", "batch_size = 2", r"a\.csv, b\.csv: no such file \(data\.train\)"),
        (
            ["a.csv"],
            "weights = [1, 2]",
            "batch_size = 2",
            "'weights' must have a number for each file of 'train' .1.; got 2",
        ),
        (
            ["a.csv"],
            "",
            "batch_size = 2\nbatch_tokens = 9",
            "'batch_tokens' and 'batch_size' exclude each other",
        ),
        (["a.csv"], "weights = [0]", "batch_size = 2", r"\[data\] weights: .*greater than 0"),
    ],
)
def test_what_does_not_go_together(
    gpt2_base: Path, tmp_path: Path, files: list[str], data: str, train: str, message: str
) -> None:
    with pytest.raises(LorafitError, match=message):
        load_plan(recipe(tmp_path, gpt2_base, files, data, train), [])
