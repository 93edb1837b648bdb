"""The runs that fill a table of the paper, each behind the run that it starts from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lorafit.errors import RecipeError, lookup
from lorafit.paper.cells import cell_key
from lorafit.paper.published import PaperTable, Rule
from lorafit.paper.table import find_table, recipes_by_cell
from lorafit.recipe import differing_keys
from lorafit.run.files.folder import RunFolder
from lorafit.run.inputs import Inputs
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.tasks import load_rows

SEEDS: dict[Rule, tuple[int, ...]] = {"median": (0, 1, 2, 3, 4), "mean": (0, 1, 2)}
"""As many as the paper averages over; it does not say which."""

JobState = Literal["to run", "to resume", "changed", "finished"]


@dataclass(frozen=True)
class Job:
    """One run. `needs` is the run whose adapter it starts from; `rows` are the rows of the table that it fills."""

    recipe: str
    seed: int
    output: Path
    overrides: tuple[str, ...] = ()
    needs: Job | None = None
    rows: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.recipe} seed {self.seed}"

    @property
    def family(self) -> tuple[object, ...]:
        """What jobs have in common that `lorafit train --seeds` can train on one base."""
        has_usual_folder = self.output.name == f"seed-{self.seed}"
        where = self.output.parent if has_usual_folder else self.output
        return self.recipe, where, self.overrides, self.needs

    def shared_settings(self) -> list[str]:
        """Every override of the run but its seed: `section.key=value`, or `unset=section.key`."""
        start = [f'method.init_from="{self.needs.output / "adapter"}"'] if self.needs else []
        return [*self.overrides, *start]

    def settings(self) -> list[str]:
        """Every override of the run."""
        return [*self.shared_settings(), f"train.seed={self.seed}"]

    def open_recipe(self) -> Recipe:
        """The recipe with everything that this run sets."""
        return open_recipe(self.recipe, self.settings())

    def state(self) -> JobState:
        """What the run folder holds. A result of another recipe is not this run's: training refuses the folder. One
        whose inputs have changed since is not taken either."""
        kept = self.output / "recipe.toml"
        if not kept.is_file():
            return "to run"
        if not (self.output / "scores.json").is_file():
            return "to resume"
        try:
            changed = differing_keys(self.open_recipe(), open_recipe(kept))
        except RecipeError:
            return "to resume"
        if changed:
            return "to resume"
        return "changed" if self.changed_inputs() else "finished"

    def changed_inputs(self) -> list[str]:
        """The data, the base and the adapter to start from that are others now than when the run was made."""
        recorded = RunFolder(self.output).recorded_inputs()
        if recorded is None:
            return []
        recipe = open_recipe(self.output / "recipe.toml")
        now = Inputs.of(recipe, load_rows(recipe.task, recipe.data))
        return [*recorded.changed(now), *recorded.added(now)]


@dataclass(frozen=True)
class Selection:
    """A part of a table: rows and tasks by their names or a part of them, and seeds. Empty means all of the paper's."""

    rows: Sequence[str] = ()
    tasks: Sequence[str] = ()
    seeds: Sequence[int] = ()


def plan_jobs(
    number: str,
    selection: Selection,
    runs_dir: Path,
    *,
    overrides: Sequence[str] = (),
    inputs: Callable[[Recipe], Sequence[str]] | None = None,
) -> list[Job]:
    """The runs of a table, each behind the one that it needs, in folders <runs_dir>/<recipe>/seed-<n>.

    `overrides` apply to every recipe; `inputs` tells what else is set for one, such as another base and other data.
    Raises RecipeError for an unknown table, row, task or key.
    """
    table = find_table(number)
    graph = _Graph(runs_dir, tuple(overrides), inputs)
    seeds = tuple(selection.seeds) or SEEDS[table.rule]
    rows_of = _recipes(table, selection)
    for seed in seeds:
        for name, rows in rows_of.items():
            graph.add(name, seed, seeds[0], rows)
    return list(graph.jobs.values())


def share(jobs: Sequence[Job], part: int, num_parts: int) -> list[Job]:
    """The jobs of one of several processes: about as many for each, those of a family together where they can be.

    A job stays with the one that it needs, so no process waits for another.
    """
    linked: dict[Job, list[Job]] = {}
    for job in jobs:
        linked.setdefault(_first_needed(job), []).append(job)
    by_family: dict[tuple[object, ...], list[list[Job]]] = {}
    for first, those in linked.items():
        by_family.setdefault(first.family, []).append(those)
    mine, num_before = list[Job](), 0
    for those in itertools.chain.from_iterable(by_family.values()):
        if num_before * num_parts // len(jobs) == part:
            mine += those
        num_before += len(those)
    return mine


def _first_needed(job: Job) -> Job:
    return job if job.needs is None else _first_needed(job.needs)


class _Graph:
    """Jobs by (recipe, seed). A job that another one needs comes first."""

    def __init__(
        self, runs_dir: Path, overrides: tuple[str, ...], inputs: Callable[[Recipe], Sequence[str]] | None
    ) -> None:
        self.runs_dir, self.overrides, self.inputs = runs_dir, overrides, inputs
        self.jobs: dict[tuple[str, int], Job] = {}

    def add(self, name: str, seed: int, first_seed: int, rows: tuple[str, ...] = ()) -> Job:
        """The job of a recipe. A warm start needs the first seed's run: the paper starts all seeds from one adapter."""
        if (name, seed) in self.jobs:
            return self.jobs[name, seed]
        recipe = open_recipe(name, self.overrides)
        start = recipe.method.warm_start_source  # runs/<recipe>/seed-<n>/adapter
        needs = self.add(Path(start).parts[-3], first_seed, first_seed) if start else None
        inputs = tuple(self.inputs(recipe)) if self.inputs else ()
        output = self.runs_dir / name / f"seed-{seed}"
        job = Job(name, seed, output, (*inputs, *self.overrides), needs, rows)
        self.jobs[name, seed] = job
        return job


def _recipes(table: PaperTable, selection: Selection) -> dict[str, tuple[str, ...]]:
    """Recipe -> the rows that it fills, in the table's order."""
    rows = _selected(selection.rows, [row.label for row in table.rows], "row", table)
    tasks = _selected(selection.tasks, table.tasks, "task", table)
    shipped = recipes_by_cell()
    found: dict[str, tuple[str, ...]] = {}
    for label in rows:
        for task in tasks:
            name = shipped[cell_key(table, label, task)]  # every cell has one
            found[name] = (*found.get(name, ()), label)
    return found


def _selected(names: Sequence[str], known: Sequence[str], what: str, table: PaperTable) -> list[str]:
    """The known names that are asked for, in the table's order; a part of a name selects all that contain it."""
    if not names:
        return list(known)
    selected: set[str] = set()
    for name in names:
        exact = [k for k in known if k.lower() == name.lower()]
        matches = exact or [k for k in known if name.lower() in k.lower()]
        if not matches:
            lookup(dict.fromkeys(known), name, what, where=f"Table {table.number}")
        selected.update(matches)
    return [k for k in known if k in selected]
