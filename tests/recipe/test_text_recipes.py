"""The shipped recipes of E2E, DART and WebNLG: the paper's step counts, parameters, and names of scores."""

from __future__ import annotations

import pytest

from lorafit.run.plan import load_plan

STEPS = {"e2e": 26_290, "webnlg": 11_270, "dart": 39_165}  # ceil(rows / 8) * 5 epochs
PARAMETERS = {"gpt2m": 393_216, "gpt2l": 737_280}  # r 4 on query and value of 24 and 36 blocks


@pytest.mark.parametrize("task", STEPS)
@pytest.mark.parametrize("size", PARAMETERS)
def test_the_lora_row(task: str, size: str) -> None:
    plan = load_plan(f"{task}_{size}", [])
    assert plan.task.name == task
    assert plan.schedule.num_steps == STEPS[task]
    assert plan.schedule.num_warmup == 500
    assert plan.num_trained == PARAMETERS[size]
    assert plan.recipe.decode.length_penalty == 0.8
    train, method = plan.recipe.train, plan.method.options()
    regularised = (0.0, 0.0, 0.0) if task == "dart" else (0.01, 0.1, 0.1)  # Table 11
    assert (train.weight_decay, train.label_smoothing, method["dropout"]) == regularised


@pytest.mark.parametrize("recipe", [f"{task}_{size}" for task in STEPS for size in PARAMETERS])
def test_published_figures_bear_the_names_that_our_scores_have(recipe: str) -> None:
    plan = load_plan(recipe, [])
    keys = {key for metric in plan.task.find_metrics(None) for key in metric.keys}
    parts = ("all.", "seen.", "unseen.") if plan.task.name == "webnlg" else ("",)
    published = plan.recipe.paper.scores
    assert plan.task.headline_score in published
    assert set(published) <= {part + key for part in parts for key in keys}
    assert len(published) == {"e2e": 5, "dart": 3, "webnlg": 9}[plan.task.name]
