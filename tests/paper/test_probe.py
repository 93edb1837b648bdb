"""How long runs would take."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafit.paper.probe import Speed, measure, num_tokens
from lorafit.paper.quick import NUM_STEPS, QuickInputs
from lorafit.run.plan import Plan, load_plan
from lorafit.run.recipes import open_recipe


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A quick run of E2E."""
    return load_plan("e2e_gpt2m", QuickInputs(tmp_path).overrides(open_recipe("e2e_gpt2m")))


def test_tokens_are_steps_times_batch_times_a_typical_example(plan: Plan) -> None:
    assert num_tokens(plan) == NUM_STEPS * 6 * 62
    short = load_plan(
        "e2e_gpt2m", [f"data.dir={plan.recipe.data.dir}", "data.max_length=20", "train.max_steps=5"]
    )
    assert num_tokens(short) == 5 * 8 * 20


def test_hours_grow_with_tokens(plan: Plan) -> None:
    assert Speed(3600.0).hours(plan) == num_tokens(plan)
    assert Speed(7200.0).hours(plan) == 2 * num_tokens(plan)


def test_a_step_takes_time(plan: Plan) -> None:
    assert measure(plan).seconds_per_token > 0
