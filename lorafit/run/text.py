"""What training and evaluation need of a text task: batches, the loss, validation, decoding and scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
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
    pad,
)
from lorafit.errors import NotFoundError
from lorafit.evaluation import Generated, decode_texts, score_generated
from lorafit.evaluation.generation import beam_search, decoding_batches
from lorafit.models import Model, take_packed_rows
from lorafit.recipe import DecodeSection, EvalSection, TrainSection
from lorafit.run.events import Progress
from lorafit.run.work import Evaluation, Job, Validation
from lorafit.tasks import GenerationTask, group_references
from lorafit.training import Batch, Steps, World, language_model_loss

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
        if model.family.can_pack(model.net.config):
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
            lengths=self._lengths() if section.batch_order == "bucketed" else None,
        )

    def _collate(self, indices: Sequence[int]) -> PackedBatch:
        return self._batch([self.train[i] for i in indices])

    def _batch(self, examples: Sequence[EncodedPair]) -> PackedBatch:
        config = self.model.net.config
        if self.model.family.can_pack(config):
            return pack(examples, self.max_length)
        return pad(examples, self.max_length, self.model.family.text_config(config).pad_token_id or 0)

    def _lengths(self) -> list[int]:
        return [len(e.context_ids) + len(e.completion_ids) for e in self.train]

    def loss_sum(self, batch: Batch) -> Tensor:
        """The training loss of a packed micro-batch, label smoothing included."""
        assert isinstance(batch, PackedBatch)
        return language_model_loss(self.model.net, batch.to(self.model.device), self.section.label_smoothing)

    @torch.inference_mode()
    def validate(self, world: World) -> Validation:
        """Mean negative log-likelihood per target token of the valid split, without label smoothing or dropout."""
        self.model.net.eval()
        sums = list(world.each(self._validation_rows(), self._validation_loss))
        self.model.net.train()
        loss = sum(loss for loss, _ in sums) / max(sum(num_targets for _, num_targets in sums), 1)
        return Validation(loss, quality=-loss)

    def _validation_loss(self, row: Sequence[EncodedPair]) -> tuple[float, int]:
        """The summed loss of a few examples, and over how many targets."""
        batch = self._batch(row)
        loss = language_model_loss(self.model.net, batch.to(self.model.device), 0.0)
        return loss.item(), batch.num_targets

    def _validation_rows(self) -> list[list[EncodedPair]]:
        """Examples of like lengths together, about _VALIDATION_TOKENS in a row."""
        rows: list[list[EncodedPair]] = [[]]
        for example in sorted(self.valid, key=lambda e: len(e.context_ids) + len(e.completion_ids)):
            length = len(example.context_ids) + len(example.completion_ids)
            if rows[-1] and length * (len(rows[-1]) + 1) > _VALIDATION_TOKENS:
                rows.append([])
            rows[-1].append(example)
        return rows

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
    job: Job,
) -> Evaluation | None:
    """Decode every distinct context and score the texts; only the leading process scores, the others get None."""
    groups = group_references(pairs)
    texts = _decode(model, [group.context for group in groups], decode, section.batch_size, job)
    if not job.world.leads:
        return None
    generated = [Generated(group, texts[i]) for i, group in enumerate(groups)]
    scores = score_generated(task.name, generated, section.metrics)
    return Evaluation([g.to_json() for g in generated], scores)


def _decode(
    model: Model, contexts: Sequence[str], decode: DecodeSection, batch_size: int, job: Job
) -> dict[int, str]:
    """The text of every context. LoRA layers are merged for the time being (float32 only)."""
    world, kept, search = job.world, job.kept, beam_search(model, decode)
    batches = decoding_batches(model, contexts, search, batch_size)
    done = world.from_leader(lambda: kept.read(batches)) if kept else []
    texts = {index: text for batch in done for index, text in batch}

    def texts_of(batch: Sequence[int]) -> list[tuple[int, str]]:
        chosen = [contexts[i] for i in batch]
        decoded = decode_texts(model, chosen, search, batch_size=len(batch), should_stop=world.should_stop)
        return [(batch[i], text) for i, text in decoded]

    with nullcontext() if world.in_step else lora.merged(model.net):
        for decoded in world.each(batches[len(done) :], texts_of):
            texts.update(decoded)
            if kept and world.leads:
                kept.add(decoded)
            job.report(Progress("decoding", len(texts), len(contexts)))
    return texts
