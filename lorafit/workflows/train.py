"""Recipe -> run folder: train, validate, keep the best, score. A run that was cut off goes on where it was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lorafit.data import Split
from lorafit.errors import OutOfMemoryError
from lorafit.models import Model, load_base, load_config
from lorafit.training import ALONE, World, seed_all
from lorafit.workflows.events import Event, Note, Report
from lorafit.workflows.lock import locked
from lorafit.workflows.plan import Plan, num_outputs
from lorafit.workflows.run_folder import EventLog, Found, Resume, RunFolder
from lorafit.workflows.running import Run


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
    longer = folder.check(recipe, extend=options.extend)
    if not longer and options.resume != "never" and (finished := folder.result()):
        return TrainResult(folder.path, folder.adapter, finished, _samples(folder), already_finished=True)
    with locked(folder.path):
        examples = _read_splits(plan)
        seed_all(recipe.train.seed)
        model = _load(plan)
        found = folder.begin(recipe, options.resume)
        scores = _carry_out(plan, folder, found, (model, examples), report, world)
    return TrainResult(folder.path, folder.adapter, scores, _samples(folder))


def _carry_out(
    plan: Plan,
    folder: RunFolder,
    found: Found,
    loaded: tuple[Model, dict[Split, list[Any]]],
    report: Report,
    world: World,
) -> dict[str, Any]:
    progress = found.checkpoint.progress if found.checkpoint else {}
    log = EventLog(folder.metrics, plan.recipe.train.log_every, progress.get("metrics_bytes", 0))

    def tell(event: Event) -> None:
        log(event)
        report(event)

    for fault in found.faults:
        tell(Note(f"a damaged checkpoint is passed over: {fault}"))
    try:
        return Run(plan, folder, *loaded, log, tell, world).carry_out(found)
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(
            f"{folder.path}: out of GPU memory; lower eval.batch_size or train.micro_batch_size (the result stays the "
            f"same) and run the same command again"
        ) from error
    finally:
        log.close()


def _read_splits(plan: Plan) -> dict[Split, list[Any]]:
    """Every split that the recipe names; the train split is required. Raises NotFoundError for a missing file."""
    data, task = plan.recipe.data, plan.task
    wanted: list[Split] = ["train", *(split for split in task.splits(data) if split != "train")]
    return {split: task.read(data, split) for split in wanted}


def _load(plan: Plan) -> Model:
    section = plan.recipe.model
    config = load_config(
        section.base,
        section.revision,
        dropout=section.dropout,
        head_dropout=section.head_dropout,
        num_labels=num_outputs(plan.task),
    )
    return load_base(config, section.base, section.revision, plan.task.output)


def _samples(folder: RunFolder, count: int = 3) -> list[dict[str, Any]]:
    path = folder.predictions("test")
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
