"""A table as a graph of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafit.errors import RecipeError
from lorafit.paper.jobs import Job, Selection, plan_jobs, share
from lorafit.recipe import Recipe
from tests.support.run_folders import e2e_scores, write_run

E2E_LORA = Selection(rows=("GPT-2 M (LoRA)",), seeds=(0,))


def test_every_cell_and_seed_has_one_job() -> None:
    jobs = plan_jobs("3", Selection(), Path("runs"))
    assert len(jobs) == 12 * 3
    assert len({(job.recipe, job.seed) for job in jobs}) == len(jobs)
    assert {row for job in jobs for row in job.rows} >= {"GPT-2 M (FT-Top2)", "GPT-2 L (PreLayer)"}


def test_mnli_comes_before_its_warm_starts_even_when_it_is_not_asked_for() -> None:
    selection = Selection(rows=("RoBERTa base (LoRA)",), tasks=("rte", "mrpc"), seeds=(3, 4))
    jobs = plan_jobs("2", selection, Path("out"))
    assert [(job.recipe, job.seed) for job in jobs] == [
        ("mnli_roberta_base", 3),
        ("mrpc_roberta_base", 3),
        ("rte_roberta_base", 3),
        ("mrpc_roberta_base", 4),
        ("rte_roberta_base", 4),
    ]
    assert jobs[0].rows == ()  # it fills no cell that was asked for
    assert {job.needs for job in jobs[1:]} == {jobs[0]}
    recipe = jobs[4].open_recipe()
    assert recipe.method.warm_start_source == "out/mnli_roberta_base/seed-3/adapter"
    assert recipe.train.seed == 4


def test_rows_by_a_part_of_their_name_and_the_paper_s_number_of_seeds() -> None:
    jobs = plan_jobs("2", Selection(rows=("lora †",), tasks=("rte",)), Path("runs"))
    assert [job.seed for job in jobs] == [0, 1, 2, 3, 4]
    assert {job.needs for job in jobs} == {None}


@pytest.mark.parametrize(
    ("number", "selection", "overrides", "message"),
    [
        ("4", Selection(), (), "no table '4'; did you mean '14'. there are 2, 3, 13, 14, 18"),
        ("3", Selection(rows=("LoRa xx",)), (), "Table 3: no row 'LoRa xx'"),
        ("3", Selection(tasks=("dart",)), (), "Table 3: no task 'dart'.* there are e2e"),
        ("3", E2E_LORA, ("train.lerning_rate=1",), "unknown key; did you mean 'learning_rate'"),
    ],
)
def test_unknown_names(number: str, selection: Selection, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plan_jobs(number, selection, Path("runs"), overrides=overrides)


def test_an_override_wins_over_the_inputs_of_a_recipe() -> None:
    def inputs(recipe: Recipe) -> list[str]:
        return [f"data.dir={recipe.name}", "train.max_steps=4"]

    (job,) = plan_jobs("3", E2E_LORA, Path("runs"), overrides=["train.max_steps=9"], inputs=inputs)
    recipe = job.open_recipe()
    assert (recipe.data.dir, recipe.train.max_steps) == ("e2e_gpt2m", 9)


def test_a_run_is_finished_when_its_folder_has_the_scores_of_its_recipe(tmp_path: Path) -> None:
    (job,) = plan_jobs("3", E2E_LORA, tmp_path)
    assert job.state() == "to run"
    write_run(tmp_path, "e2e_gpt2m", 0, None)
    assert job.state() == "to resume"
    write_run(tmp_path, "e2e_gpt2m", 1, e2e_scores(70.0))
    finished = Job("e2e_gpt2m", 1, tmp_path / "e2e_gpt2m" / "seed-1")
    assert finished.state() == "finished"
    changed = Job("e2e_gpt2m", 1, finished.output, ("train.max_steps=1",))
    assert changed.state() == "to resume"
    (finished.output / "recipe.toml").write_text("[model]\nname = 3\n")
    assert finished.state() == "to resume"


@pytest.mark.parametrize("num_parts", [1, 2, 3, 50])
@pytest.mark.parametrize("number", ["2", "3"])
def test_processes_share_jobs_and_none_waits_for_another(number: str, num_parts: int) -> None:
    jobs = plan_jobs(number, Selection(), Path("runs"))
    parts = [share(jobs, part, num_parts) for part in range(num_parts)]
    assert sorted(job.title for part in parts for job in part) == sorted(job.title for job in jobs)
    assert all(job.needs is None or part.index(job.needs) < part.index(job) for part in parts for job in part)
    if number == "3":  # without warm starts
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        homes = [{job.family for job in part} for part in parts]
        assert sum(map(len, homes)) < len(set().union(*homes)) + num_parts, (
            "families stay whole but for the ends"
        )
