"""What training and evaluation need of a classification or regression task: batches, the loss, validation, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorafit.data import EncodedText, LabelBatch, LabelledText, Split, epoch_order
from lorafit.evaluation import (
    Labelled,
    collate,
    decide,
    encode_for,
    label_outputs,
    predict_outputs,
    score_labelled,
)
from lorafit.models import Model, take_packed_rows
from lorafit.recipe import DataSection, EvalSection, TrainSection
from lorafit.run.events import Progress
from lorafit.run.work import Evaluation, Job, Validation
from lorafit.tasks import LabelTask
from lorafit.training import Batch, Steps, World, label_loss_sum


@dataclass(frozen=True)
class LabelTraining:
    """The training side: encoded examples and how they become losses."""

    task: LabelTask
    model: Model
    train: list[EncodedText]
    valid: list[EncodedText]
    valid_texts: Sequence[LabelledText]  # of which `valid` are the ids
    section: TrainSection

    @staticmethod
    def of(
        task: LabelTask,
        model: Model,
        examples: Mapping[Split, Sequence[LabelledText]],
        section: TrainSection,
        data: DataSection,
    ) -> LabelTraining:
        """Encode the train and valid splits. Of a valid split in parts, the headline's part chooses the best epoch."""
        if model.family.can_pack(model.net.config):
            take_packed_rows(model.net)
        part = task.headline.rpartition(".")[0]
        valid = [example for example in examples.get("valid", []) if example.part in ("", part)]
        train = encode_for(model, examples["train"], data.max_length)
        return LabelTraining(task, model, train, encode_for(model, valid, data.max_length), valid, section)

    @property
    def num_train(self) -> int:
        """Training examples."""
        return len(self.train)

    @property
    def has_valid(self) -> bool:
        """Whether there is a valid split."""
        return bool(self.valid)

    def steps(self, total: int) -> Steps:
        """The data of every step."""
        return Steps(self._order, self._collate, total)

    def _order(self, epoch: int) -> list[list[int]]:
        section = self.section
        return epoch_order(
            len(self.train),
            section.batch_size,
            seed=section.seed,
            epoch=epoch,
            shuffle=section.shuffle,
            last_batch=section.last_batch,
            lengths=[len(e.ids) for e in self.train] if section.batch_order == "bucketed" else None,
        )

    def _collate(self, indices: Sequence[int]) -> LabelBatch:
        return collate(self.model, [self.train[i] for i in indices])

    def loss_sum(self, batch: Batch) -> Tensor:
        """Cross-entropy or squared error of a micro-batch, summed over its examples."""
        assert isinstance(batch, LabelBatch)
        batch = batch.to(self.model.device)
        outputs = label_outputs(self.model, batch)
        return label_loss_sum(outputs, batch.labels, self.section.label_smoothing)

    def validate(self, world: World) -> Validation:
        """Mean loss without label smoothing, and the scores, of which the headline tells the best epoch."""
        outputs = predict_outputs(self.model, self.valid, each=world.each)
        labels = torch.tensor([example.label for example in self.valid])
        predictions = decide(self.task, outputs)
        labelled = [Labelled(e, p) for e, p in zip(self.valid_texts, predictions, strict=True)]
        scores = score_labelled(self.task, labelled).all
        headline = scores[self.task.headline.rpartition(".")[2]]
        return Validation(
            loss=label_loss_sum(outputs, labels, 0.0).item() / len(self.valid),
            quality=-1.0 if headline is None else headline,
            scores=scores,
            notes=_collapsed(self.task, predictions, labels.tolist()),
        )

    def fingerprint_inputs(self, count: int) -> list[list[int]]:
        """The first examples of the valid split, or of the train split where there is none."""
        return [list(example.ids) for example in (self.valid or self.train)[:count]]


def _collapsed(task: LabelTask, predictions: Sequence[float], labels: Sequence[float]) -> tuple[str, ...]:
    """A note when the same answer is given to everything, although there is more than one right one."""
    if len(set(predictions)) > 1 or len(set(labels)) == 1:
        return ()
    answer = task.label_text(predictions[0])
    shown = repr(answer) if isinstance(answer, str) else f"{answer:.3f}"
    return (
        f"collapsed: the answer to all {len(predictions):,} validation examples is {shown}; a lower "
        f"train.learning_rate, a longer warm-up or another train.seed may help",
    )


def evaluate_labels(
    model: Model,
    task: LabelTask,
    examples: Sequence[LabelledText],
    max_length: int,
    section: EvalSection,
    job: Job,
) -> Evaluation:
    """Classify or score every example, and score the predictions where there are labels."""
    if model.family.can_pack(model.net.config):
        take_packed_rows(model.net)
    encoded = encode_for(model, examples, max_length)

    def progress(done: int) -> None:
        job.report(Progress("evaluating", done, len(encoded)))

    outputs = predict_outputs(model, encoded, progress, each=job.world.each)
    predictions = decide(task, outputs)
    labelled = [Labelled(e, p) for e, p in zip(examples, predictions, strict=True)]
    scores = score_labelled(task, labelled, section.metrics)
    return Evaluation([item.to_json(task) for item in labelled], scores, predictions)
