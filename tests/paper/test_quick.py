"""Tiny bases and made-up rows for every preset and every base of the paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafit.data import LabelRow
from lorafit.paper.quick import NUM_ROWS, NUM_STEPS, QuickInputs
from lorafit.recipe import list_recipes
from lorafit.run.plan import load_plan
from lorafit.run.recipes import open_recipe
from lorafit.tasks import PRESETS

BASE_OF_TASK = {summary.task: summary.name for summary in reversed(list_recipes()) if summary.table}
RECIPE_OF_BASE = {summary.base: summary.name for summary in reversed(list_recipes()) if summary.table}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_rows_that_its_recipes_read(preset: str, tmp_path: Path) -> None:
    name = BASE_OF_TASK.get(preset, BASE_OF_TASK["rte"])  # WNLI is in no table
    inputs = QuickInputs(tmp_path).overrides(open_recipe(name, [f"task.name={preset}"]))
    plan = load_plan(name, [f"task.name={preset}", *inputs])
    assert plan.rows_known
    assert plan.num_train_rows == NUM_ROWS["train"]
    assert plan.schedule.num_steps == NUM_STEPS
    rows = list(plan.rows.rows(plan.scored_split))
    parts = {"mnli": {"matched", "mismatched"}, "webnlg": {"seen", "unseen"}}.get(preset, {""})
    assert {row.part for row in rows} == parts
    assert len(rows) == NUM_ROWS[plan.scored_split] * (2 if preset == "mnli" else 1)
    if plan.task.output != "text":
        labelled = [row for row in rows if isinstance(row, LabelRow)]
        assert len(labelled) == len(rows)
        assert len({row.label for row in labelled}) > 1


@pytest.mark.parametrize("base", RECIPE_OF_BASE)
def test_every_base_of_the_paper_has_a_tiny_one(base: str, tmp_path: Path) -> None:
    name = RECIPE_OF_BASE[base]
    plan = load_plan(name, QuickInputs(tmp_path).overrides(open_recipe(name)))
    assert plan.num_total < 200_000
    assert 0 < plan.num_trained <= plan.num_total


def test_rows_are_made_once(tmp_path: Path) -> None:
    recipe = open_recipe("rte_roberta_base")
    first = QuickInputs(tmp_path).overrides(recipe)
    (table,) = tmp_path.rglob("train.tsv")
    before = table.stat().st_mtime_ns
    assert QuickInputs(tmp_path).overrides(recipe) == first
    assert table.stat().st_mtime_ns == before
