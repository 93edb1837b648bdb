"""What the runs of a table would cost: steps, trained parameters and hours, before any weights are loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.paper.jobs import Job, JobState
from lorafit.paper.probe import Speed, measure
from lorafit.run.plan import Plan, load_plan


@dataclass(frozen=True)
class Estimate:
    """What a run costs. `num_trained` are parameters of the method, `num_head` of the head; `hours` needs a probe."""

    job: Job
    state: JobState
    num_steps: int
    num_trained: int
    num_head: int
    hours: float | None


def estimate(jobs: Sequence[Job], *, probe: bool = True) -> list[Estimate]:
    """Plan every job, and with `probe` measure its speed, once for each base and method.

    Raises RecipeError for a recipe that cannot be trained.
    """
    plans: dict[str, Plan] = {}
    speeds: dict[tuple[str, str], Speed] = {}
    estimates = []
    for job in jobs:
        plan = plans.get(job.recipe) or load_plan(job.recipe, job.settings())
        plans[job.recipe] = plan
        hours = None
        if probe:
            key = plan.recipe.model.base, _method_options(plan)
            speeds[key] = speeds.get(key) or measure(plan)
            hours = speeds[key].hours(plan)
        estimates.append(
            Estimate(job, job.state(), plan.schedule.num_steps, plan.num_trained, plan.num_head, hours)
        )
    return estimates


def _method_options(plan: Plan) -> str:
    """What decides the speed of a method: its options but for the adapter that it starts from."""
    options = plan.method.options()
    options.pop("init_from", None)
    return json.dumps(options, sort_keys=True)
