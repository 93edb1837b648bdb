"""Writing a text that follows a prompt: packed sequences, loss on completions, decoding, scores by references."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from lorafit import lora
from lorafit.data import TextRow
from lorafit.data.batches import SequenceBatch, pack, pad
from lorafit.data.encode import EncodedPair, TextFormat, encode_pairs, encode_prompts, end_of_text
from lorafit.decoding import BeamSearch, Strategy, batches_of, generate
from lorafit.files import JsonObject
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import Scores, missing_metrics, score_texts
from lorafit.models import Model
from lorafit.objectives.base import AnswerOptions, Encoded, Objective, Prediction, Validation
from lorafit.recipe import DecodeSection, EvalSection
from lorafit.tasks import Answer, ReferenceGroup, group_references
from lorafit.tasks import Generation as GenerationTask
from lorafit.training import ProcessGroup, language_model_loss_sums

_VALIDATION_TOKENS = 4096  # tokens in a packed row while validating


@dataclass(frozen=True)
class PairEncoder:
    """Prompt and completion -> token ids, cut at `max_length` tokens (paper's gpt2_encode.py and data_utils.py)."""

    tokenizer: PreTrainedTokenizerBase
    form: TextFormat
    max_length: int

    def encode(self, rows: Sequence[TextRow]) -> Encoded[EncodedPair]:
        """One example a row. What lies behind `max_length` tokens is dropped when a batch is made."""
        examples = encode_pairs(self.tokenizer, rows, self.form)
        lengths = [example.length for example in examples]
        cut = [i for i, length in enumerate(lengths) if length > self.max_length]
        without = [i for i in cut if len(examples[i].prompt_ids) >= self.max_length]
        return Encoded(examples, lengths, cut, without)

    def part_lengths(self, example: EncodedPair) -> Mapping[str, int]:
        """Of context and completion."""
        return {"context": len(example.prompt_ids), "completion": len(example.completion_ids)}

    def show(self, row: TextRow, example: EncodedPair) -> Mapping[str, Any]:
        """`target_ids[i]` is the token after `input_ids[i]`; it counts in the loss where `target_mask[i]` is true."""
        inputs = example.inputs(self.max_length)
        return {
            "context": row.prompt,
            "completion": row.completion,
            **({"part": row.part} if row.part else {}),
            "context_ids": list(example.prompt_ids),
            "completion_ids": list(example.completion_ids),
            "input_ids": inputs,
            "target_ids": [*example.prompt_ids, *example.completion_ids][1 : len(inputs) + 1],
            "target_mask": example.target_mask(self.max_length),
        }


@dataclass(frozen=True)
class Generation(Objective[TextRow, EncodedPair, SequenceBatch]):
    """A text that follows a prompt. An item is a prompt with all its references."""

    task: GenerationTask
    max_length: int  # tokens of an example, at most
    decode: DecodeSection
    evaluation: EvalSection
    packs: bool
    pad_id: int

    progress_name: ClassVar[str] = "decoding"

    @override
    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> PairEncoder:
        return PairEncoder(tokenizer, self._form(tokenizer), self.max_length)

    @override
    def collate(self, parts: Sequence[Sequence[EncodedPair]]) -> SequenceBatch:
        examples, counts = [example for part in parts for example in part], [len(part) for part in parts]
        if self.packs:
            return pack(examples, self.max_length, counts)
        return pad(examples, self.max_length, self.pad_id, counts)

    @override
    def loss_sums(self, model: Model, batch: SequenceBatch, label_smoothing: Sequence[float]) -> Tensor:
        return language_model_loss_sums(model.net, batch.to(model.device), label_smoothing)

    @override
    def validation_rows(self, rows: Sequence[TextRow]) -> Sequence[TextRow]:
        return rows

    @override
    @torch.inference_mode()
    def validate(
        self, model: Model, rows: Sequence[TextRow], examples: Sequence[EncodedPair], group: ProcessGroup
    ) -> Validation:
        """Mean negative log-likelihood per target token, without label smoothing."""

        def loss_of(batch: Sequence[EncodedPair]) -> tuple[float, int]:
            collated = self.collate([batch])
            return self.loss_sums(model, collated, [0.0]).item(), collated.num_targets[0]

        model.net.eval()
        sums = list(group.map(_validation_batches(examples), loss_of))
        model.net.train()
        loss = sum(loss for loss, _ in sums) / max(sum(num_targets for _, num_targets in sums), 1)
        return Validation(loss, quality=-loss)

    @override
    def length(self, example: EncodedPair) -> int:
        return example.length

    @override
    def inputs(self, example: EncodedPair) -> list[int]:
        return example.inputs(self.max_length)

    @override
    def settings(self) -> Mapping[str, Any]:
        evidence = {"evidence": True} if self._reads_evidence() else {}
        return {**self.decode.model_dump(mode="json"), "batch_size": self.evaluation.batch_size, **evidence}

    @override
    def num_items(self, rows: Sequence[TextRow]) -> int:
        return len({row.prompt for row in rows})

    @override
    def prediction_batches(self, model: Model, rows: Sequence[TextRow]) -> list[list[int]]:
        prompts = self._prompt_ids(model, [group.prompt for group in group_references(rows)])
        return batches_of(model.net, prompts, self.beam_search(model), self.evaluation.batch_size)

    @override
    def predict(
        self, model: Model, rows: Sequence[TextRow], batches: Sequence[Sequence[int]], group: ProcessGroup
    ) -> Iterator[list[Prediction]]:
        """Decode every distinct prompt. LoRA layers are merged for the time being (not in lockstep)."""
        groups, search, reads_evidence = (
            group_references(rows),
            self.beam_search(model),
            self._reads_evidence(),
        )

        def decode(batch: Sequence[int]) -> list[Prediction]:
            chosen = [groups[i] for i in batch]
            prompts = [each.prompt for each in chosen]
            evidence = self._likelihoods(model, chosen) if reads_evidence else [()] * len(batch)
            texts = self._texts(model, prompts, search, len(batch), group.should_stop_within_item)
            return [Prediction(batch[i], text, evidence[i]) for i, text in texts]

        with nullcontext() if group.lockstep else lora.merged(model.net):
            yield from group.map(batches, decode)

    @override
    def answers(
        self, model: Model, rows: Sequence[TextRow], options: AnswerOptions, group: ProcessGroup
    ) -> Iterator[tuple[int, Answer]]:
        search = self.beam_search(model)
        strategy = search if options.strategy is None else options.strategy(search)
        prompts = [row.prompt for row in rows]
        with lora.merged(model.net):
            yield from self._texts(
                model, prompts, strategy, options.batch_size, group.should_stop_within_item
            )

    def _reads_evidence(self) -> bool:
        return any(m.reads == "evidence" for m in self.task.find_metrics(self.evaluation.metrics))

    @torch.inference_mode()
    def _likelihoods(self, model: Model, groups: Sequence[ReferenceGroup]) -> list[tuple[float, ...]]:
        """Of each group, the negative log-likelihood of its references and the number of their tokens."""
        encoder = self.encoder(model.require_tokenizer())
        texts = [
            [TextRow(group.prompt, text) for text in group.references if text.strip()] for group in groups
        ]
        if not any(texts):
            return [(0.0, 0.0)] * len(groups)
        batch = self.collate([encoder.encode(rows).examples for rows in texts])
        was_training = model.net.training
        model.net.eval()
        sums: list[float] = self.loss_sums(model, batch, [0.0] * len(groups)).tolist()
        model.net.train(was_training)
        return [(loss, float(count)) for loss, count in zip(sums, batch.num_targets, strict=True)]

    def _texts(
        self,
        model: Model,
        prompts: Sequence[str],
        strategy: Strategy,
        batch_size: int,
        should_stop: Callable[[], bool],
    ) -> Iterator[tuple[int, str]]:
        """Up to the end-of-text token or `task.stop_text`, stripped (paper's gpt2_decode.py)."""
        tokenizer = model.require_tokenizer()
        end = str(tokenizer.decode([end_of_text(tokenizer)]))
        ids = self._prompt_ids(model, prompts)
        stops = [end, *([self.task.stop_text] if self.task.stop_text else [])]
        for index, tokens in generate(
            model.net, ids, strategy, batch_size=batch_size, should_stop=should_stop
        ):
            text = str(tokenizer.decode(tokens, clean_up_tokenization_spaces=False))
            for stop in stops:
                text = text.split(stop)[0]
            yield index, text.strip()

    def beam_search(self, model: Model) -> BeamSearch:
        """The search of `decode`; without `eos_token_ids` the tokenizer's end-of-text token ends a hypothesis."""
        decode = self.decode
        return BeamSearch(
            num_beams=decode.num_beams,
            length_penalty=decode.length_penalty,
            no_repeat_ngram_size=decode.no_repeat_ngram_size,
            max_new_tokens=decode.max_new_tokens,
            eos_token_ids=decode.eos_token_ids or (end_of_text(model.require_tokenizer()),),
        )

    @override
    def lines(self, rows: Sequence[TextRow], predictions: Sequence[Prediction]) -> list[JsonObject]:
        return [
            {
                "input": group.prompt,
                "references": list(group.references),
                "prediction": prediction.value,
                **({"part": group.part} if group.part else {}),
            }
            for group, prediction in zip(group_references(rows), predictions, strict=True)
        ]

    @override
    def score(self, rows: Sequence[TextRow], predictions: Sequence[Prediction]) -> Scores:
        """By the task's scorer, over the whole split and over its parts where it has them.

        A text whose every reference is empty is left out, and a note says so: hours of decoding must not be lost.
        """
        answers = list(zip(group_references(rows), predictions, strict=True))
        scored = [(group, answer) for group, answer in answers if _has_reference(group)]
        parts = [group.part for group, _ in scored]
        scores = score_texts(
            SCORERS[self.task.scorer],
            [str(answer.value) for _, answer in scored],
            [group.references for group, _ in scored],
            metrics=self.task.metrics if self.evaluation.metrics is None else self.evaluation.metrics,
            splits=parts if any(parts) else None,
            evidence=[answer.evidence for _, answer in scored] if self._reads_evidence() else None,
        )
        if num_left_out := len(answers) - len(scored):
            note = (
                f"{num_left_out} of {len(answers)} texts have no reference but empty ones and are not scored"
            )
            return replace(scores, notes=(*scores.notes, note))
        return scores

    @override
    def missing_metrics(self) -> Mapping[str, str]:
        return missing_metrics(self.task.find_metrics(self.evaluation.metrics))

    def _form(self, tokenizer: PreTrainedTokenizerBase) -> TextFormat:
        task = self.task
        return TextFormat.of(
            tokenizer,
            separator=task.separator,
            completion_prefix=task.completion_prefix,
            prompt_start=task.prompt_start,
        )

    def _prompt_ids(self, model: Model, prompts: Sequence[str]) -> list[list[int]]:
        tokenizer = model.require_tokenizer()
        return encode_prompts(tokenizer, prompts, self._form(tokenizer))


def _has_reference(group: ReferenceGroup) -> bool:
    return any(text.strip() for text in group.references)


def _validation_batches(examples: Sequence[EncodedPair]) -> list[list[EncodedPair]]:
    """Examples of like lengths together, about _VALIDATION_TOKENS in a row."""
    batches: list[list[EncodedPair]] = [[]]
    for example in sorted(examples, key=lambda e: e.length):
        if batches[-1] and example.length * (len(batches[-1]) + 1) > _VALIDATION_TOKENS:
            batches.append([])
        batches[-1].append(example)
    return batches
