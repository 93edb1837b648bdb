"""A table as a graph of runs, and the quick way through it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafit.errors import RecipeError
from lorafit.paper.parallel import run_in_processes
from lorafit.paper.probe import Speed, measure, num_tokens
from lorafit.paper.quick import QuickTable
from lorafit.paper.repro import Job, Wanted, plan_jobs, run_jobs
from lorafit.run.plan import load_plan
from lorafit.run.recipes import open_recipe
from lorafit.training import ProcessGroup

E2E_LORA = Wanted(rows=("GPT-2 M (LoRA)",), seeds=(0,))


def nothing(*_: Any) -> None:
    """Nobody is told."""


def test_every_cell_and_seed_has_one_job() -> None:
    jobs = plan_jobs("3", Wanted(), Path("runs"))
    assert len(jobs) == 12 * 3
    assert len({(job.recipe, job.seed) for job in jobs}) == len(jobs)
    assert {row for job in jobs for row in job.rows} >= {"GPT-2 M (FT-Top2)", "GPT-2 L (PreLayer)"}


def test_mnli_comes_before_its_warm_starts_even_when_it_is_not_asked_for() -> None:
    wanted = Wanted(rows=("RoBERTa base (LoRA)",), tasks=("rte", "mrpc"), seeds=(3, 4))
    jobs = plan_jobs("2", wanted, Path("out"))
    assert [(job.recipe, job.seed) for job in jobs] == [
        ("mnli_roberta_base", 3),
        ("mrpc_roberta_base", 3),
        ("rte_roberta_base", 3),
        ("mrpc_roberta_base", 4),
        ("rte_roberta_base", 4),
    ]
    assert jobs[0].rows == ()  # it fills no cell that was asked for
    assert {job.needs for job in jobs[1:]} == {jobs[0]}
    recipe = jobs[4].resolved()
    assert getattr(recipe.method, "init_from", None) == "out/mnli_roberta_base/seed-3/adapter"
    assert recipe.train.seed == 4


def test_rows_by_a_part_of_their_name_and_the_paper_s_number_of_seeds() -> None:
    jobs = plan_jobs("2", Wanted(rows=("lora †",), tasks=("rte",)), Path("runs"))
    assert [job.seed for job in jobs] == [0, 1, 2, 3, 4]
    assert {job.needs for job in jobs} == {None}
    with pytest.raises(RecipeError, match=r"--rows LoRa xx: no such name"):
        plan_jobs("3", Wanted(rows=("LoRa xx",)), Path("runs"))
    with pytest.raises(RecipeError, match="--tasks dart"):
        plan_jobs("3", Wanted(tasks=("dart",)), Path("runs"))
    with pytest.raises(RecipeError, match="unknown key; did you mean 'learning_rate'"):
        plan_jobs("3", E2E_LORA, Path("runs"), overrides=["train.lerning_rate=1"])


def test_what_is_finished_stays_and_a_failure_takes_its_dependants_only(tmp_path: Path) -> None:
    quick = QuickTable(tmp_path / "quick")
    jobs = plan_jobs("3", E2E_LORA, tmp_path, overrides=["eval.metrics=['bleu']"], adjust=quick.overrides)
    lost = Job("e2e_gpt2m", 7, tmp_path / "lost", (*jobs[0].overrides, "model.base=/nowhere"))
    after = Job("e2e_gpt2m", 8, tmp_path / "after", jobs[0].overrides, needs=lost)
    outcomes = list(run_jobs([lost, after, *jobs], nothing, nothing, ProcessGroup()))
    assert [outcome.status for outcome in outcomes] == ["failed", "not tried", "done"]
    assert outcomes[0].error is not None
    assert outcomes[0].error.exit_code == 3
    scores = (jobs[0].output / "scores.json").stat().st_mtime_ns
    assert [o.status for o in run_jobs(jobs, nothing, nothing, ProcessGroup())] == ["finished before"]
    assert (jobs[0].output / "scores.json").stat().st_mtime_ns == scores
    changed = Job("e2e_gpt2m", 0, jobs[0].output, (*jobs[0].overrides, "train.max_steps=1"))
    assert not changed.finished()


def test_processes_do_the_same(tmp_path: Path) -> None:
    quick = QuickTable(tmp_path / "quick")
    jobs = plan_jobs("3", E2E_LORA, tmp_path, overrides=["eval.metrics=['bleu']"], adjust=quick.overrides)
    lost = Job("e2e_gpt2m", 7, tmp_path / "lost" / "seed-7", (*jobs[0].overrides, "model.base=/nowhere"))
    after = Job("e2e_gpt2m", 8, tmp_path / "after", needs=lost)
    outcomes = {o.job.output: o for o in run_in_processes([lost, after, *jobs], 2, nothing)}
    assert outcomes[jobs[0].output].status == "done"
    assert outcomes[after.output].status == "not tried"
    error = outcomes[lost.output].error
    assert error is not None
    assert error.exit_code == 3
    assert "/nowhere" in str(error)
    assert "seed-7.log.txt" in str(error)


@pytest.mark.parametrize("task", ["e2e", "dart", "webnlg"])
def test_quick_rows_are_in_the_format_of_the_task(task: str, tmp_path: Path) -> None:
    overrides = QuickTable(tmp_path).overrides(open_recipe(f"{task}_gpt2m"))
    plan = load_plan(f"{task}_gpt2m", overrides)
    assert plan.rows_known
    assert plan.num_train_rows == 24
    parts = {pair.part for pair in plan.rows.rows("test")}
    assert parts == ({"seen", "unseen"} if task == "webnlg" else {""})


@pytest.mark.parametrize("task", ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"])
@pytest.mark.parametrize("base", ["roberta_base", "deberta_xxl"])
def test_quick_rows_of_glue(task: str, base: str, tmp_path: Path) -> None:
    overrides = QuickTable(tmp_path).overrides(open_recipe(f"{task}_{base}"))
    plan = load_plan(f"{task}_{base}", overrides)
    assert plan.num_train_rows == 24
    examples = plan.rows.rows("valid")
    assert len(examples) == (20 if task == "mnli" else 10)
    assert len({example.label for example in examples}) > 1


def test_hours_grow_with_tokens_and_depth(tmp_path: Path) -> None:
    quick = QuickTable(tmp_path)
    plan = load_plan("e2e_gpt2m", quick.overrides(open_recipe("e2e_gpt2m")))
    assert num_tokens(plan) == 4 * 6 * 62  # steps, batch, typical tokens
    assert Speed(3600.0).hours(plan) == num_tokens(plan)
    assert measure(plan).seconds_per_token > 0


def test_the_command_shows_the_plan_and_the_table(tmp_path: Path, lorafit: Callable[..., Any]) -> None:
    options = ("--quick", "--rows", "GPT-2 M (LoRA)", "--output", tmp_path, "--json")
    options += ("--set", "eval.metrics=['bleu', 'rouge_l']")  # quick: without Java
    (line,) = json.loads(lorafit("repro", "table3", *options, "--dry-run").stdout)
    assert (line["recipe"], line["state"], line["steps"]) == ("e2e_gpt2m", "to run", 4)
    assert line["trainable"] == 2 * 2 * 2 * 32 * 4  # two blocks, query and value, A and B, width 32, rank 4
    assert line["hours"] > 0
    report = json.loads(lorafit("repro", "table3", *options).stdout)
    ours = [cell for cell in report["cells"] if cell["row"] == "GPT-2 M (LoRA)"]
    assert {cell["column"] for cell in ours if cell["ours"] is not None} == {"BLEU", "ROUGE-L"}
    assert len(report["cells"]) == 12 * 5
    assert (
        json.loads(lorafit("table", "3", tmp_path, "--json").stdout)["left_out"] != []
    )  # not the paper's recipe
