"""A table of the paper as a graph of runs, and carrying it out: what is finished stays, what is missing is run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lorafit.errors import InterruptedRunError, LorafitError, RecipeError, did_you_mean
from lorafit.paper import PaperTable
from lorafit.paper.cells import cell_key
from lorafit.paper.table import find_table, recipes_by_cell
from lorafit.recipe import differing_keys
from lorafit.run.events import Report
from lorafit.run.plan import load_plan
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.run.train import TrainOptions, train
from lorafit.training import ProcessGroup

SEEDS = {"median": (0, 1, 2, 3, 4), "mean": (0, 1, 2)}  # as many as the paper has; it does not name them


@dataclass(frozen=True)
class Job:
    """One run. `needs` is the run whose adapter it starts from; `rows` are the rows of the table it stands for."""

    recipe: str
    seed: int
    output: Path
    overrides: tuple[str, ...] = ()
    needs: Job | None = None
    rows: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.recipe} seed {self.seed}"

    def settings(self) -> list[str]:
        """Every `section.key=value` of the run."""
        warm = [f'method.init_from="{self.needs.output / "adapter"}"'] if self.needs else []
        return [*self.overrides, *warm, f"train.seed={self.seed}"]

    def resolved(self) -> Recipe:
        """The recipe with all that this run sets."""
        return open_recipe(self.recipe, self.settings())

    def finished(self) -> bool:
        """Whether the run folder holds the result of this very recipe."""
        if not (self.output / "scores.json").is_file():
            return False
        return not differing_keys(self.resolved(), open_recipe(self.output / "recipe.toml"))


@dataclass(frozen=True)
class Wanted:
    """Which part of a table: rows and tasks by name (empty means all), and seeds (empty means the paper's number)."""

    rows: Sequence[str] = ()
    tasks: Sequence[str] = ()
    seeds: Sequence[int] = ()


@dataclass(frozen=True)
class Outcome:
    """How a job ended: "finished before", "done", "failed" or "not tried" (what it needs had failed)."""

    job: Job
    status: str
    seconds: float = 0.0
    error: LorafitError | None = None


OverridesOf = Callable[[Recipe], Sequence[str]]
"""What to change in a recipe, such as the base and the data of a quick run."""


def plan_jobs(
    number: str,
    wanted: Wanted,
    runs_dir: Path,
    *,
    overrides: Sequence[str] = (),
    adjust: OverridesOf | None = None,
) -> list[Job]:
    """The runs of a table, each behind the one it needs. `overrides` are set in all, `adjust` sets more for each.

    Raises RecipeError for a table, row, task or key that there is not.
    """
    table = find_table(number)
    graph = _Graph(runs_dir, tuple(overrides), adjust)
    seeds = tuple(wanted.seeds) or SEEDS[table.rule]
    rows_of = _recipes(table, wanted)
    for seed in seeds:
        for name, rows in rows_of.items():
            graph.add(name, seed, seeds[0], rows)
    return list(graph.jobs.values())


@dataclass
class _Graph:
    """Jobs by (recipe, seed), in an order in which what is needed comes first."""

    runs_dir: Path
    overrides: tuple[str, ...]
    adjust: OverridesOf | None
    jobs: dict[tuple[str, int], Job] = field(default_factory=dict)

    def add(self, name: str, seed: int, first_seed: int, rows: tuple[str, ...] = ()) -> Job:
        """The job of a recipe. A warm start needs the first seed's run, since the paper starts all from one adapter."""
        known = self.jobs.get((name, seed))
        if known is not None:
            return known
        recipe = open_recipe(name, self.overrides)
        source = getattr(recipe.method, "init_from", None)
        needs = self.add(Path(source).parts[-3], first_seed, first_seed) if source else None
        more = tuple(self.adjust(recipe)) if self.adjust else ()
        job = Job(name, seed, self.runs_dir / name / f"seed-{seed}", self.overrides + more, needs, rows)
        self.jobs[name, seed] = job
        return job


def _recipes(table: PaperTable, wanted: Wanted) -> dict[str, tuple[str, ...]]:
    """Recipe -> the rows it fills, in the table's order."""
    rows = _chosen("--rows", wanted.rows, [row.label for row in table.rows])
    tasks = _chosen("--tasks", wanted.tasks, table.tasks)
    shipped = recipes_by_cell()
    found: dict[str, tuple[str, ...]] = {}
    for label in rows:
        for task in tasks:
            name = shipped.get(cell_key(table, label, task))
            if name is None:
                raise RecipeError(
                    f"Table {table.number}, {label}, {task}: no recipe is shipped for this cell"
                )
            found[name] = (*found.get(name, ()), label)
    return found


def _chosen(option: str, wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Names as asked for, in the table's order; a part of a name stands for all that have it."""
    if not wanted:
        return list(known)
    chosen = set()
    for name in wanted:
        exact = [k for k in known if k.lower() == name.lower()]
        matches = exact or [k for k in known if name.lower() in k.lower()]
        if not matches:
            hint = did_you_mean(name, known) or f"; there are {', '.join(map(repr, known))}"
            raise RecipeError(f"{option} {name}: no such name in this table{hint}")
        chosen.update(matches)
    return [k for k in known if k in chosen]


def run_jobs(
    jobs: Sequence[Job], report: Report, started: Callable[[int, Job], None], group: ProcessGroup
) -> Iterator[Outcome]:
    """Carry the jobs out one after the other, in this process; `started` is told of each that has to be run.

    A failed run ends nothing but the runs that need it. Raises InterruptedRunError when a run is interrupted.
    """
    broken: set[Path] = set()
    for number, job in enumerate(jobs, start=1):
        if job.needs and job.needs.output in broken:
            broken.add(job.output)
            yield Outcome(job, "not tried")
            continue
        begun = time.monotonic()
        try:
            if job.finished():
                yield Outcome(job, "finished before")
                continue
            started(number, job)
            train(load_plan(job.recipe, job.settings()), job.output, report, TrainOptions(), group)
        except InterruptedRunError:
            raise
        except LorafitError as error:
            broken.add(job.output)
            yield Outcome(job, "failed", time.monotonic() - begun, error)
            continue
        yield Outcome(job, "done", time.monotonic() - begun)


def first_error(outcomes: Sequence[Outcome]) -> LorafitError | None:
    """What went wrong first, if anything did."""
    return next((outcome.error for outcome in outcomes if outcome.error), None)


def by_status(outcomes: Sequence[Outcome]) -> Mapping[str, int]:
    """How many jobs ended how."""
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    return counts
