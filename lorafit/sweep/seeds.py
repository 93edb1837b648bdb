"""The same recipe with several seeds, trained together on one base, and the mean and spread of their scores."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafit.errors import DivergedError
from lorafit.metrics.score import flat
from lorafit.run.events import Report
from lorafit.run.files.folder import check_holds_no_run
from lorafit.run.plan import Plan, Planner
from lorafit.run.recipes import open_recipe
from lorafit.run.train import TrainResult
from lorafit.sweep.family import FamilyOptions, Job, train_family
from lorafit.training import ProcessGroup


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (of n - 1) of a score; `std` is None for a single seed."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class SeedsResult:
    """The runs by seed, and every score's spread, under its flat name such as "seen.bleu"."""

    plan: Plan  # of the first seed
    runs: dict[int, TrainResult]
    spread: dict[str, Spread]


def load_plans(name_or_path: str, overrides: list[str], seeds: Sequence[int]) -> dict[int, Plan]:
    """A plan for each seed."""
    planner = Planner()
    return {
        seed: planner.plan(open_recipe(name_or_path, [*overrides, f"train.seed={seed}"])) for seed in seeds
    }


def seed_jobs(plans: Mapping[int, Plan], output: Path | None) -> list[Job]:
    """A run for each seed, in runs/<recipe>/seed-<n> or `output`/seed-<n>.

    Raises RecipeError where `output` is a run itself.
    """
    if output is not None:
        check_holds_no_run(output)
    return [
        Job(f"seed {seed}", plan, output / f"seed-{seed}" if output else None) for seed, plan in plans.items()
    ]


def train_seeds(
    plans: Mapping[int, Plan],
    output: Path | None,
    options: FamilyOptions,
    report: Report,
    processes: ProcessGroup,
) -> SeedsResult:
    """Train every plan. Runs that are finished are not repeated.

    Raises as `train_family`, and DivergedError where a run has diverged, after all others are finished.
    """
    jobs = seed_jobs(plans, output)
    outcomes = dict(zip(plans, train_family(jobs, options, report, processes), strict=True))
    for seed, outcome in outcomes.items():
        if isinstance(outcome, DivergedError):
            raise DivergedError(f"seed {seed}: {outcome.message}", *outcome.remedies)
    runs = {seed: outcome for seed, outcome in outcomes.items() if isinstance(outcome, TrainResult)}
    return SeedsResult(next(iter(plans.values())), runs, _spread([run.scores for run in runs.values()]))


def _spread(results: Sequence[Mapping[str, Any]]) -> dict[str, Spread]:
    """Of the scores that every run has."""
    flats = [flat(result.get("scores") or {}) for result in results]
    spread: dict[str, Spread] = {}
    for name in flats[0]:
        values = [value for scores in flats if (value := scores.get(name)) is not None]
        if len(values) == len(flats):
            std = statistics.stdev(values) if len(values) > 1 else None
            spread[name] = Spread(statistics.fmean(values), std)
    return spread
