"""A sweep: its runs planned from a recipe and a grid, trained as a family, and its answer written down.

OUTPUT/
  <settings>/seed-<n>/   a run folder for every member, as `lorafit train` leaves it
  sweep.json             the members and the answer
  best.toml              the recipe of the best setting, for all training rows
  sweep.png              the score against the first setting that is a number, where matplotlib is installed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lorafit.errors import Advice, DivergedError, InterruptedRunError, RecipeError
from lorafit.files import JsonObject, write_json, write_text
from lorafit.metrics.score import flat
from lorafit.recipe import SweepSection, find_recipe, read_section, to_toml
from lorafit.run.events import Note, Report
from lorafit.run.files.folder import check_holds_no_run
from lorafit.run.files.paths import checkpoint_folders
from lorafit.run.files.summary import best_validation, read_events
from lorafit.run.plan import Plan, Planner, make_plan
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.run.train import TrainResult, train
from lorafit.sweep.answer import Answer, Member, State
from lorafit.sweep.family import FamilyOptions, Job, Outcome, train_family
from lorafit.sweep.figure import draw_sweep
from lorafit.sweep.grid import Point, points, section_of, settings_text
from lorafit.sweep.groups import Group, differences, group, questions_that_differ
from lorafit.training import ProcessGroup

ANSWER_FILE, BEST_FILE, FIGURE_FILE = "sweep.json", "best.toml", "sweep.png"
_MOST_MEMBERS = 10_000


@dataclass(frozen=True)
class SweepPlan:
    """Every member with its plan, and how they are grouped."""

    output: Path
    points: Sequence[Point]
    jobs: Sequence[Job]

    @cached_property
    def groups(self) -> list[Group]:
        return group([job.plan for job in self.jobs])

    def notes(self) -> list[str]:
        """What is said before the start: what makes several groups, and which members are not trained together."""
        groups, plans = self.groups, [job.plan for job in self.jobs]
        said = []
        if len(groups) > 1:
            keys = ", ".join(differences(plans, groups))
            said.append(f"{len(groups)} groups, each with a base of its own, since they differ in {keys}")
        if asked := questions_that_differ(plans, groups):
            said.append(
                f"the runs differ in {', '.join(asked)}, so each may be validated and scored on other rows or tokens "
                f"than another, and their losses and scores may not compare"
            )
        for each in groups:
            if each.why:
                how = "take turns on one base" if each.way == "in turns" else "load a base each"
                said.append(f"{len(each.members)} runs {how}: {each.why}")
        return said


@dataclass(frozen=True)
class SweepResult:
    """The answer, its folder, the recipe of the best, and its run where it was trained on all rows."""

    output: Path
    answer: Answer
    best_recipe: Path | None
    applied: TrainResult | None = None


@dataclass(frozen=True)
class Axes:
    """What varies: keys with their values, and seeds. They come before the recipe's own [sweep]."""

    grid: Mapping[str, tuple[Any, ...]]
    seeds: Sequence[int] = ()


def plan_sweep(
    name_or_path: str | Path, overrides: Sequence[str], axes: Axes, output: Path | None
) -> SweepPlan:
    """Plan every member. Raises what planning raises."""
    planner, jobs, names = Planner(), list[Job](), dict[Path, str]()
    found, overrides = _points(name_or_path, overrides, axes)
    for point in found:
        plan = planner.plan(open_recipe(name_or_path, [*overrides, *point.overrides]))
        folder = _folder(plan.recipe, output)
        seed = plan.recipe.train.seed
        name = ", ".join(filter(None, (settings_text(point.settings), f"seed {seed}")))
        place = folder / point.folder(seed)
        if (other := names.setdefault(place, name)) != name:
            raise RecipeError(
                f"[sweep] grid: {other} and {name} would lie in one folder, {place}; name them otherwise, or sweep "
                f"them apart"
            )
        jobs.append(Job(name, plan, place))
    check_holds_no_run(folder)
    _check_same_score(jobs)
    return SweepPlan(folder, found, jobs)


def _check_same_score(jobs: Sequence[Job]) -> None:
    """Raises RecipeError where runs are judged by scores of other names."""
    first, score = jobs[0], jobs[0].plan.task.headline_score
    for job in jobs:
        if (other := job.plan.task.headline_score) != score:
            raise RecipeError(
                f"[sweep] grid: {first.name} is judged by {score} and {job.name} by {other}, which do not compare; "
                f"sweep them apart"
            )


def first_member(
    name_or_path: str | Path, overrides: Sequence[str], axes: Axes, output: Path | None
) -> tuple[list[str], Path]:
    """Overrides and folder of the first run: by these it is told which data on the hub all of them read."""
    found, overrides = _points(name_or_path, overrides, axes)
    overrides = [*overrides, *found[0].overrides]
    recipe = open_recipe(name_or_path, overrides)
    return overrides, _folder(recipe, output) / found[0].folder(recipe.train.seed)


def _points(name_or_path: str | Path, overrides: Sequence[str], axes: Axes) -> tuple[list[Point], list[str]]:
    """Every member, and what all have in common. The recipe may lack what the grid alone gives."""
    path = name_or_path if isinstance(name_or_path, Path) else find_recipe(name_or_path)
    own = read_section(path, overrides, "sweep", SweepSection)
    found = points(section_of({**own.grid, **axes.grid}, axes.seeds or own.seeds))
    if len(found) > _MOST_MEMBERS:
        raise RecipeError(
            f"[sweep]: {len(found):,} runs are more than {_MOST_MEMBERS:,}", Advice("fewer values")
        )
    return found, [*overrides, *(f"unset=sweep.{key}" for key in own.model_fields_set)]


def _folder(recipe: Recipe, output: Path | None) -> Path:
    return output or Path("runs") / f"{recipe.name}-sweep"


def run_sweep(
    plan: SweepPlan,
    options: FamilyOptions,
    report: Report,
    processes: ProcessGroup,
    *,
    apply_best: bool = False,
) -> SweepResult:
    """Train every member that is not finished, and write the answer. With `apply_best` train that on all rows.

    Raises as `train_family`. After InterruptedRunError sweep.json says how far each is; a mistake leaves it alone.
    """
    for note in plan.notes():
        report(Note(note))
    try:
        outcomes = train_family(plan.jobs, options, report, processes)
    except InterruptedRunError:  # the leader alone comes here
        _write(plan, [None] * len(plan.jobs))
        raise
    result = processes.on_leader(lambda: _write(plan, outcomes))
    if not apply_best or result.best_recipe is None:
        return result
    best = plan.jobs[_index(result.answer)]
    recipe = _for_all_rows(best.plan.recipe)
    if recipe == best.plan.recipe:
        report(Note(f"the best run was trained on all training rows already: {best.run.path}"))
        applied = outcomes[_index(result.answer)]
        return replace(result, applied=applied if isinstance(applied, TrainResult) else None)
    applied = train(make_plan(recipe), plan.output / "best", report, options.train, processes)
    return replace(result, applied=applied)


def _index(answer: Answer) -> int:
    best = answer.best
    assert best is not None, "asked only where there is one"
    return best


def _write(plan: SweepPlan, outcomes: Sequence[Outcome | None]) -> SweepResult:
    """sweep.json, the recipe of the best and the figure."""
    task = plan.jobs[0].plan.task
    members = [
        _member(plan.output, point, job, outcome)
        for point, job, outcome in zip(plan.points, plan.jobs, outcomes, strict=True)
    ]
    answer = Answer.of(members, task.headline_score, higher_is_better=_is_higher_better(plan.jobs[0].plan))
    write_json(plan.output / ANSWER_FILE, answer.to_json())
    draw_sweep(plan.output / FIGURE_FILE, answer)
    path = plan.output / BEST_FILE
    if answer.best is None:
        path.unlink(missing_ok=True)  # of an answer before
        return SweepResult(plan.output, answer, None)
    recipe = _for_all_rows(plan.jobs[answer.best].plan.recipe)
    write_text(path, f"# {answer.sentence()}\n" + to_toml(recipe, paths_from=Path.cwd()))
    return SweepResult(plan.output, answer, path)


def _for_all_rows(recipe: Recipe) -> Recipe:
    """Without a share of the training rows for validation, and what needs one."""
    if not isinstance(recipe.data.valid, float):
        return recipe
    data = recipe.data.model_copy(update={"valid": None})
    section = recipe.train.model_copy(update={"patience": None})
    return recipe.model_copy(update={"data": data, "train": section})


def _member(output: Path, point: Point, job: Job, outcome: Outcome | None) -> Member:
    seed, run = job.plan.recipe.train.seed, job.run
    place = str(run.path.relative_to(output))
    result = run.result() if outcome is None else None
    scores = outcome.scores if isinstance(outcome, TrainResult) else result or {}
    state: State = "waiting"
    if isinstance(outcome, DivergedError):
        state = "diverged"
    elif scores:
        state = "finished"
    elif checkpoint_folders(run.checkpoints):
        state = "stopped"
    known = flat(scores.get("scores") or {})
    found = {name: value for name, value in known.items() if value is not None}
    event = best_validation(read_events(run.metrics)) if run.metrics.is_file() else None
    validation: JsonObject | None = None
    if event is not None:
        validation = {"loss": event["loss"], **({"scores": event["scores"]} if "scores" in event else {})}
    return Member(
        point.settings,
        seed,
        place,
        state,
        validation,
        None if validation is None else _quality(job.plan, validation),
        found.get(job.plan.task.headline_score),
        found,
        outcome.message if isinstance(outcome, DivergedError) else "",
    )


def _quality(plan: Plan, validation: Mapping[str, Any]) -> float | None:
    """By what the best epoch is chosen, the greater the better: the headline, or the loss of what has no scores."""
    scores = validation.get("scores")
    if not scores:
        return -float(validation["loss"])
    value = scores.get(plan.task.headline_score.rpartition(".")[2])
    if value is None:
        return None
    return float(value) if _is_higher_better(plan) else -float(value)


def _is_higher_better(plan: Plan) -> bool:
    key = plan.task.headline_score.rpartition(".")[2]
    return not any(key in m.keys and not m.higher_is_better for m in plan.task.find_metrics(None))
