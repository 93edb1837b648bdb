"""Recipe -> run folder: train, validate, keep the best, score. A run that was cut off goes on where it was."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants

from lorafit.data import Split
from lorafit.errors import NotFoundError, OutOfMemoryError
from lorafit.models import Model, load_base, load_config
from lorafit.recipe import Recipe
from lorafit.run.events import Event, Note, Report
from lorafit.run.folder import EventLog, Found, Resume, RunFolder
from lorafit.run.lock import locked
from lorafit.run.plan import Plan, num_outputs
from lorafit.run.trainer import Run
from lorafit.run.work import notes_on_metrics
from lorafit.tasks import Task
from lorafit.training import ALONE, World, seed_all
from lorafit.verbs.fetch import missing_base


@dataclass(frozen=True)
class TrainResult:
    """Where everything lies and how good it is. `samples` are the first few predictions."""

    run: Path
    adapter: Path
    scores: dict[str, Any]
    samples: list[dict[str, Any]]
    already_finished: bool = False


@dataclass(frozen=True)
class TrainOptions:
    """How to begin: `extend` lets the recipe be longer than that of the run that lies there."""

    resume: Resume = "auto"
    extend: bool = False


USUAL = TrainOptions()


def train(
    plan: Plan,
    output: Path | None,
    report: Report,
    options: TrainOptions = USUAL,
    world: World = ALONE,
) -> TrainResult:
    """Carry out a plan. A run that is finished is left alone and its result returned; an unfinished one goes on.

    Raises the LorafitError of whatever goes wrong; what is wrong with data or base leaves nothing behind.
    """
    recipe, folder = plan.recipe, RunFolder.of(plan.recipe, output)
    finished = world.from_leader(lambda: _result(folder, recipe, options))
    if finished is not None:
        return TrainResult(
            folder.path, folder.adapter, finished, _samples(folder, plan.task), already_finished=True
        )
    for note in world.from_leader(lambda: notes_on_metrics(plan.task, recipe.eval)):
        report(note)
    with contextlib.ExitStack() as stack:
        world.from_leader(lambda: stack.enter_context(locked(folder.path)))
        loaded = world.leader_first(lambda: _load(plan, report))
        found = world.from_leader(lambda: folder.begin(recipe, options.resume))
        for fault in found.faults:
            report(Note(f"a damaged checkpoint is passed over: {fault}"))
        scores = _carry_out(plan, folder, found, loaded, report, world)
    return TrainResult(folder.path, folder.adapter, scores, _samples(folder, plan.task))


def _result(folder: RunFolder, recipe: Recipe, options: TrainOptions) -> dict[str, Any] | None:
    """The scores of a run that is finished and shall stay so. Raises RecipeError when another run lies there."""
    longer = folder.check(recipe, extend=options.extend)
    return None if longer or options.resume == "never" else folder.result()


def _carry_out(
    plan: Plan,
    folder: RunFolder,
    found: Found,
    loaded: tuple[Model, dict[Split, list[Any]]],
    report: Report,
    world: World,
) -> dict[str, Any]:
    """Only the leading process writes and speaks."""
    if not world.leads:
        return Run(plan, folder, *loaded, None, lambda _: None, world).carry_out(found)
    progress = found.checkpoint.progress if found.checkpoint else {}
    log = EventLog(folder.metrics, plan.recipe.train.log_every, progress.get("metrics_bytes", 0))

    def tell(event: Event) -> None:
        log(event)
        report(event)

    try:
        return Run(plan, folder, *loaded, log, tell, world).carry_out(found)
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(
            f"{folder.path}: out of GPU memory; lower eval.batch_size or train.micro_batch_size (the result stays the "
            f"same) and run the same command again"
        ) from error
    finally:
        log.close()


def _load(plan: Plan, report: Report) -> tuple[Model, dict[Split, list[Any]]]:
    """The base, and the examples of every split. Raises NotFoundError with a line for everything that is missing."""
    examples, faults = _read_splits(plan, report)
    if constants.HF_HUB_OFFLINE:
        faults += missing_base(plan.recipe.model)
    if faults:
        raise NotFoundError("\n".join(faults))
    seed_all(plan.recipe.train.seed)
    return _load_model(plan), examples


def _read_splits(plan: Plan, report: Report) -> tuple[dict[Split, list[Any]], list[str]]:
    """Every split that the recipe names, of which train is required; and what is wrong with those not to be had."""
    data, task = plan.recipe.data, plan.task
    wanted: list[Split] = ["train", *(split for split in task.splits(data) if split != "train")]
    examples: dict[Split, list[Any]] = {}
    faults: list[str] = []
    for split in wanted:
        try:
            examples[split] = task.read(data, split, lambda text: report(Note(text)))
        except NotFoundError as error:
            faults.append(str(error))
    return examples, faults


def _load_model(plan: Plan) -> Model:
    section = plan.recipe.model
    config = load_config(
        section.base,
        section.revision,
        dropout=section.dropout,
        head_dropout=section.head_dropout,
        num_labels=num_outputs(plan.task),
    )
    return load_base(
        config, section.base, section.revision, plan.task.output, head_seed=plan.recipe.train.seed
    )


def _samples(folder: RunFolder, task: Task, count: int = 3) -> list[dict[str, Any]]:
    path = folder.predictions(task.scored_split)
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
