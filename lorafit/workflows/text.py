"""What training and evaluation need of a text task: batches, the loss, validation, decoding and scoring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorafit import lora
from lorafit.data import (
    EncodedPair,
    PackedBatch,
    Split,
    TextPair,
    encode_pairs,
    epoch_order,
    pack,
    split_evenly,
)
from lorafit.errors import NotFoundError
from lorafit.evaluation import Generated, decode_texts, score_generated
from lorafit.evaluation.generation import beam_search
from lorafit.models import Model, take_packed_rows
from lorafit.recipe import DecodeSection, EvalSection, TrainSection
from lorafit.tasks import GenerationTask, group_references
from lorafit.training import Batch, Steps, language_model_loss
from lorafit.workflows.events import Progress, Report
from lorafit.workflows.work import Evaluation, Validation

_VALIDATION_TOKENS = 4096  # tokens in a packed row while validating


def max_length(model: Model, asked: int, num_taken: int) -> int:
    """Tokens of an example: as asked, but not more than the bare base has positions but those the method takes."""
    positions: int | None = getattr(model.net.config, "max_position_embeddings", None)
    return asked if positions is None else min(asked, positions - num_taken)


@dataclass(frozen=True)
class TextTraining:
    """The training side: encoded examples and how they become losses."""

    model: Model
    train: list[EncodedPair]
    valid: list[EncodedPair]
    section: TrainSection
    max_length: int

    @staticmethod
    def of(
        model: Model, pairs: Mapping[Split, Sequence[TextPair]], section: TrainSection, limit: int
    ) -> TextTraining:
        """Encode the train and valid splits; `limit` is the most tokens that an example may have.

        Raises NotFoundError when no example has room for a target.
        """
        assert model.tokenizer is not None
        train = encode_pairs(model.tokenizer, pairs["train"])
        if not any(len(example.context_ids) < limit for example in train):
            raise NotFoundError(
                f"[data] max_length: {limit} tokens leave no room for a completion in any training row"
            )
        take_packed_rows(model.net)
        return TextTraining(
            model, train, encode_pairs(model.tokenizer, pairs.get("valid", [])), section, limit
        )

    @property
    def num_train(self) -> int:
        """Training examples."""
        return len(self.train)

    @property
    def has_valid(self) -> bool:
        """Whether there is a valid split."""
        return bool(self.valid)

    def steps(self, total: int) -> Steps:
        """The micro-batches of every step."""
        return Steps(self._epoch, total)

    def _epoch(self, epoch: int) -> Iterator[Sequence[Batch]]:
        section = self.section
        for indices in epoch_order(
            len(self.train),
            section.batch_size,
            seed=section.seed,
            epoch=epoch,
            shuffle=section.shuffle,
            last_batch=section.last_batch,
        ):
            parts = split_evenly(indices, section.micro_batch_size)
            yield [pack([self.train[i] for i in part], self.max_length) for part in parts]

    def loss_sum(self, batch: Batch) -> Tensor:
        """The training loss of a packed micro-batch, label smoothing included."""
        assert isinstance(batch, PackedBatch)
        return language_model_loss(self.model.net, batch.to(self.model.device), self.section.label_smoothing)

    @torch.inference_mode()
    def validate(self) -> Validation:
        """Mean negative log-likelihood per target token of the valid split, without label smoothing or dropout."""
        net = self.model.net
        net.eval()
        loss_sum = num_targets = 0.0
        for batch in self._validation_batches():
            loss_sum += language_model_loss(net, batch.to(self.model.device), 0.0).item()
            num_targets += batch.num_targets
        net.train()
        loss = loss_sum / max(num_targets, 1)
        return Validation(loss, quality=-loss)

    def _validation_batches(self) -> Iterator[PackedBatch]:
        by_length = sorted(self.valid, key=lambda e: len(e.context_ids) + len(e.completion_ids))
        row: list[EncodedPair] = []
        longest = 0
        for example in by_length:
            longest = len(example.context_ids) + len(example.completion_ids)
            if row and longest * (len(row) + 1) > _VALIDATION_TOKENS:
                yield pack(row, self.max_length)
                row = []
            row.append(example)
        if row:
            yield pack(row, self.max_length)

    def fingerprint_inputs(self, count: int) -> list[list[int]]:
        """The first examples of the valid split, or of the train split where there is none."""
        examples = (self.valid or self.train)[:count]
        return [example.inputs(self.max_length) for example in examples]


def evaluate_text(
    model: Model,
    task: GenerationTask,
    pairs: Sequence[TextPair],
    decode: DecodeSection,
    section: EvalSection,
    report: Report,
) -> Evaluation:
    """Decode every distinct context and score the texts. LoRA layers are merged for the time being (float32 only)."""
    groups = group_references(pairs)
    texts: dict[int, str] = {}
    with lora.merged(model.net):
        contexts = [group.context for group in groups]
        for index, text in decode_texts(
            model, contexts, beam_search(model, decode), batch_size=section.batch_size
        ):
            texts[index] = text
            report(Progress("decoding", len(texts), len(groups)))
    generated = [Generated(group, texts[i]) for i, group in enumerate(groups)]
    scores = score_generated(task.name, generated, section.metrics)
    return Evaluation([g.to_json() for g in generated], scores)
