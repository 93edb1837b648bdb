"""What a table would cost: runs, steps, trained parameters and hours, before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.paper.probe import Speed, measure
from lorafit.paper.repro import Job
from lorafit.run.plan import Plan, load_plan


@dataclass(frozen=True)
class Estimate:
    """A run before it is made. `state` is "finished", "to resume" or "to run"; `hours` are None without a probe."""

    job: Job
    state: str
    num_steps: int
    num_trained: int
    num_head: int
    hours: float | None


def estimate(jobs: Sequence[Job], *, probe: bool = True) -> list[Estimate]:
    """Plan every job; a probe is made once for each base and method, and shared by tasks and seeds.

    Raises RecipeError for a recipe that cannot be carried out.
    """
    plans: dict[str, Plan] = {}
    speeds: dict[tuple[str, str], Speed] = {}
    estimates = []
    for job in jobs:
        plan = plans.get(job.recipe) or load_plan(job.recipe, job.settings())
        plans[job.recipe] = plan
        hours = None
        if probe:
            key = (plan.recipe.model.base, str(sorted(_shape(plan).items())))
            if key not in speeds:
                speeds[key] = measure(plan)
            hours = speeds[key].hours(plan)
        estimates.append(
            Estimate(job, _state(job), plan.schedule.num_steps, plan.num_trained, plan.num_head, hours)
        )
    return estimates


def _shape(plan: Plan) -> dict[str, object]:
    """The method's options, but not where it starts from."""
    return {key: str(value) for key, value in plan.method.options().items() if key != "init_from"}


def _state(job: Job) -> str:
    if not (job.output / "recipe.toml").is_file():
        return "to run"
    return "finished" if job.finished() else "to resume"
