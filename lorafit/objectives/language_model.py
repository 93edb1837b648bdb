"""What all objectives share that learn tokens from those before them: packed sequences, their loss, validation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from lorafit.data.batches import SequenceBatch, pack, pad
from lorafit.data.encode import end_of_text
from lorafit.data.sequences import EncodedSequence, TokenSequence
from lorafit.decoding import BeamSearch
from lorafit.models import Model
from lorafit.objectives.base import Objective, Validation
from lorafit.recipe import DecodeSection
from lorafit.training import ProcessGroup, language_model_loss_sums

_VALIDATION_TOKENS = 4096  # tokens in a packed row while validating

RowT = TypeVar("RowT")
SequenceT = TypeVar("SequenceT", bound=TokenSequence)


class LanguageModel(Objective[RowT, SequenceT, SequenceBatch]):
    """Predicting tokens. `max_length` tokens of an example count, at most."""

    max_length: int
    packs: bool
    pad_id: int

    @override
    def collate(self, parts: Sequence[Sequence[SequenceT]]) -> SequenceBatch:
        examples, counts = [example for part in parts for example in part], [len(part) for part in parts]
        if self.packs:
            return pack(examples, self.max_length, counts)
        return pad(examples, self.max_length, self.pad_id, counts)

    @override
    def loss_sums(self, model: Model, batch: SequenceBatch, label_smoothing: Sequence[float]) -> Tensor:
        return language_model_loss_sums(model.net, batch.to(model.device), label_smoothing)

    @override
    def validation_rows(self, rows: Sequence[RowT]) -> Sequence[RowT]:
        return rows

    @override
    @torch.inference_mode()
    def validate(
        self, model: Model, rows: Sequence[RowT], examples: Sequence[SequenceT], group: ProcessGroup
    ) -> Validation:
        """Mean negative log-likelihood per target token, without label smoothing."""

        def loss_of(batch: Sequence[SequenceT]) -> tuple[float, int]:
            collated = self.collate([batch])
            return self.loss_sums(model, collated, [0.0]).item(), collated.num_targets[0]

        model.net.eval()
        sums = list(group.map(_validation_batches(examples), loss_of))
        model.net.train()
        loss = sum(loss for loss, _ in sums) / max(sum(num_targets for _, num_targets in sums), 1)
        return Validation(loss, quality=-loss)

    @override
    def length(self, example: SequenceT) -> int:
        return example.length

    @override
    def inputs(self, example: SequenceT) -> list[int]:
        return example.inputs(self.max_length)

    @torch.inference_mode()
    def losses(self, model: Model, parts: Sequence[Sequence[SequenceT]]) -> list[tuple[float, int]]:
        """Of each group of examples the sum of the negative log-likelihoods of its targets, and how many there are."""
        found = []
        was_training = model.net.training
        model.net.eval()
        for examples in parts:
            loss_sum, num_targets = 0.0, 0
            for batch in _validation_batches(examples):
                if batch and (count := (collated := self.collate([batch])).num_targets[0]):
                    loss_sum += self.loss_sums(model, collated, [0.0]).item()
                    num_targets += count
            found.append((loss_sum, num_targets))
        model.net.train(was_training)
        return found


def beam_search(decode: DecodeSection, model: Model, end_ids: Sequence[int] = ()) -> BeamSearch:
    """The search of `decode`. Without `eos_token_ids` a text ends with `end_ids`, and as the base's configs say.

    Raises NotFoundError where no token ends a text.
    """
    tokenizer = model.require_tokenizer()
    eos = () if tokenizer.eos_token_id is None else (int(tokenizer.eos_token_id),)
    said = model.family.stop_tokens(model.net.config, model.net.generation_config)
    ends = decode.eos_token_ids or tuple(dict.fromkeys((*end_ids, *said, *eos)))
    return BeamSearch(
        num_beams=decode.num_beams,
        length_penalty=decode.length_penalty,
        no_repeat_ngram_size=decode.no_repeat_ngram_size,
        max_new_tokens=decode.max_new_tokens,
        eos_token_ids=ends or (end_of_text(tokenizer),),
    )


def pieces(
    tokenizer: PreTrainedTokenizerBase, example: EncodedSequence, max_length: int
) -> dict[str, object]:
    """An example as JSON: its text in stretches that are learned or not, and its ids.

    `target_ids[i]` is the token after `input_ids[i]`; it counts in the loss where `target_mask[i]` is true.
    """
    kept = list(zip(example.ids[:max_length], example.is_target[:max_length], strict=True))
    stretches = [
        {"text": str(tokenizer.decode([id_ for id_, _ in tokens])), "learned": learned}
        for learned, tokens in itertools.groupby(kept, key=lambda token: token[1])
    ]
    return {
        "pieces": stretches,
        "input_ids": example.inputs(max_length),
        "target_ids": [id_ for id_, _ in kept[1:]],
        "target_mask": example.target_mask(max_length),
    }


def _validation_batches(examples: Sequence[SequenceT]) -> list[list[SequenceT]]:
    """Examples of like lengths together, about _VALIDATION_TOKENS in a row."""
    batches: list[list[SequenceT]] = [[]]
    for example in sorted(examples, key=lambda e: e.length):
        if batches[-1] and example.length * (len(batches[-1]) + 1) > _VALIDATION_TOKENS:
            batches.append([])
        batches[-1].append(example)
    return batches
