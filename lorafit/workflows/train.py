"""Recipe -> run folder: train, validate, keep the best, score."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lorafit.adapters import (
    AdapterCard,
    BaseCard,
    TaskCard,
    read_adapter,
    record_scores,
    take_fingerprint,
    trained_tensors,
    write_adapter,
)
from lorafit.adapters.fingerprint import NUM_INPUTS, answers
from lorafit.adapters.restore import load_tensors
from lorafit.data import Split
from lorafit.errors import OutOfMemoryError
from lorafit.models import Model, base_folder, base_identity, load_base, load_config
from lorafit.recipe import Recipe, recipe_hash
from lorafit.tasks import Task
from lorafit.training import AdamW, EpochEnded, Stepped, fit, parameter_groups
from lorafit.workflows.device import Placement
from lorafit.workflows.events import Event, Finished, Note, Report, Saved, Scored, Started, Validated
from lorafit.workflows.plan import Plan, make_schedule, num_outputs
from lorafit.workflows.provenance import provenance
from lorafit.workflows.run_folder import EventLog, RunFolder
from lorafit.workflows.work import evaluate_split, training_of


@dataclass(frozen=True)
class TrainResult:
    """Where everything lies and how good it is. `samples` are the first few predictions."""

    run: Path
    adapter: Path
    scores: dict[str, Any]
    samples: list[dict[str, Any]]
    already_finished: bool = False


def train(plan: Plan, output: Path | None, report: Report) -> TrainResult:
    """Carry out a plan. A run that is finished already is left alone and its result returned.

    Raises the LorafitError of whatever goes wrong; data and base are looked up before anything is written.
    """
    recipe, run = plan.recipe, RunFolder.of(plan.recipe, output)
    examples = _read_splits(plan)
    torch.manual_seed(recipe.train.seed)
    model = _load(plan)
    if finished := run.begin(recipe):
        return TrainResult(run.path, run.adapter, finished, _samples(run), already_finished=True)
    log = EventLog(run.metrics, recipe.train.log_every)

    def tell(event: Event) -> None:
        log(event)
        report(event)

    try:
        return _Run(plan, run, model, examples, tell).carry_out()
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(
            f"{run.path}: out of GPU memory; lower train.micro_batch_size (the result stays the same)"
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


class _Run:
    """One run under way."""

    def __init__(
        self, plan: Plan, run: RunFolder, model: Model, examples: dict[Split, list[Any]], tell: Report
    ) -> None:
        self.plan, self.run, self.model, self.examples, self.tell = plan, run, model, examples, tell
        self.recipe: Recipe = plan.recipe
        self.started = time.monotonic()
        self.training = training_of(plan.task, model, examples, self.recipe)
        self.placement = Placement.of(self.recipe.model.dtype)
        self.best_quality = -math.inf

    def carry_out(self) -> TrainResult:
        """Score the bare base if asked, train, and score the best adapter."""
        recipe = self.recipe
        self.inputs = self.training.fingerprint_inputs(NUM_INPUTS)
        self.base_answers = answers(self.model, self.inputs)
        self.card = self._card()
        scores: dict[str, Any] = {}
        if recipe.eval.score_base and "test" in self.examples:
            self.placement.move(self.model)
            scores["base"] = self._score("base")["scores"]
        self.plan.method.attach(self.model, torch.Generator().manual_seed(recipe.train.seed))
        self.placement.place(self.model)
        last_step = self._fit()
        if "test" in self.examples:
            load_tensors(read_adapter(self.run.adapter), self.model)
            scores = self._score("adapter") | scores
            record_scores(self.run.adapter, scores["scores"])
        else:
            self.tell(Note("no test split is given, so nothing is scored"))
        self.tell(Finished(last_step, time.monotonic() - self.started))
        self.run.write_scores(scores)
        return TrainResult(self.run.path, self.run.adapter, scores, _samples(self.run))

    def _fit(self) -> int:
        """Train; validate after every epoch; keep the best adapter and the last. Returns the last step."""
        train, trained = self.recipe.train, self.model.trained()
        schedule = make_schedule(self.recipe, self.training.num_train)
        groups = parameter_groups(trained, self.model.net, train.weight_decay, train.decay_exempt)
        betas = (train.adam_beta1, train.adam_beta2)
        optimizer = AdamW(groups, lr=train.learning_rate, betas=betas, eps=train.adam_epsilon)
        self.tell(self._start_event(schedule.num_steps))
        steps = self.training.steps(schedule.num_steps)
        step = 0
        self.model.net.train()
        with self.placement.autocast():
            events = fit(
                list(trained.values()),
                steps,
                self.training.loss_sum,
                optimizer,
                schedule,
                train.max_grad_norm,
            )
            for event in events:
                match event:
                    case Stepped():
                        step = event.step
                        self.tell(event)
                    case EpochEnded():
                        self._validate_and_save(event)
        return step

    def _validate_and_save(self, ended: EpochEnded) -> None:
        """Best is the greatest validation quality; without a validation split, the last."""
        best = True
        if self.training.has_valid:
            validation = self.training.validate()
            best = validation.quality > self.best_quality
            self.best_quality = max(validation.quality, self.best_quality)
            self.tell(Validated(ended.epoch, ended.step, validation.loss, validation.scores, best))
        self._save(self.run.last_adapter, ended.step)
        if best:
            self._save(self.run.adapter, ended.step)

    def _save(self, folder: Path, step: int) -> None:
        tensors = trained_tensors(self.model)
        fingerprint = take_fingerprint(self.model, self.inputs, self.base_answers)
        origin = self.card.provenance.model_copy(update={"step": step})
        card = write_adapter(
            folder, self.card.model_copy(update={"provenance": origin}), tensors, fingerprint
        )
        self.tell(Saved(folder, step, sum(file.num_bytes for file in card.files.values())))

    def _score(self, who: str) -> dict[str, Any]:
        with self.placement.autocast():
            evaluation = evaluate_split(
                self.plan.task,
                self.model,
                self.examples["test"],
                decode=self.recipe.decode,
                section=self.recipe.eval,
                report=self.tell,
            )
        name = "test" if who == "adapter" else "test-base"
        self.run.write_predictions(name, evaluation.predictions)
        result = evaluation.scores.to_json()
        self.tell(Scored("test", who, result["scores"], result["signatures"]))
        return result

    def _start_event(self, num_steps: int) -> Started:
        num_trained = sum(p.numel() for p in self.model.trained().values())
        device, dtype = str(self.placement.device), str(self.placement.dtype).removeprefix("torch.")
        return Started(num_steps, self.training.num_train, num_trained, device, dtype)

    def _card(self) -> AdapterCard:
        recipe = self.recipe
        base = recipe.model.base
        identity = base_identity(base, recipe.model.revision, base_folder(base, recipe.model.revision))
        return AdapterCard(
            base=BaseCard(**vars(identity)),
            method=self.plan.method.options(),
            task=_task_card(self.plan.task),
            data=recipe.data,
            decode=recipe.decode,
            provenance=provenance(
                recipe=recipe.name, recipe_hash=recipe_hash(recipe), seed=recipe.train.seed
            ),
        )


def _task_card(task: Task) -> TaskCard:
    return TaskCard(name=task.name, output=task.output, labels=list(task.labels) if task.labels else None)


def _samples(run: RunFolder, count: int = 3) -> list[dict[str, Any]]:
    import json

    path = run.predictions("test")
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
