"""Writing a text that follows a prompt: packed sequences, loss on completions, decoding, scores by references."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from lorafit import lora
from lorafit.data import TextRow
from lorafit.data.batches import SequenceBatch, pack, pad
from lorafit.data.encode import EncodedPair, TextFormat, encode_pairs, encode_prompts
from lorafit.decoding import BeamSearch, Strategy, batches_of, generate
from lorafit.files import JsonObject
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import Scores, missing_metrics
from lorafit.models import Model, Reading, special_tokens
from lorafit.models.vocabulary import Vocabulary
from lorafit.objectives.base import Answered, AnswerOptions, Objective, Prediction, Validation
from lorafit.objectives.encoded import Encoded, Limit, Noun
from lorafit.recipe import DecodeSection, EvalSection
from lorafit.tasks import Generation as GenerationTask
from lorafit.tasks import ReferenceGroup, group_references
from lorafit.tasks.scoring import score_groups
from lorafit.training import ProcessGroup, language_model_loss_sums

ItemT = TypeVar("ItemT")

_VALIDATION_TOKENS = 4096  # tokens in a packed row while validating
_CUT_PROMPT = ("loses its beginning to fit into", "lose their beginning to fit into")


@dataclass(frozen=True)
class PairEncoder:
    """Prompt and completion -> token ids, cut at `limit` tokens (paper's gpt2_encode.py and data_utils.py)."""

    tokenizer: PreTrainedTokenizerBase
    form: TextFormat
    limit: Limit
    vocabulary: Vocabulary

    def encode(self, rows: Sequence[TextRow]) -> Encoded[EncodedPair]:
        """One example a row. What lies behind `limit` tokens is dropped when a batch is made."""
        self.vocabulary.check_around((*self.form.start_ids, *self.form.separator_ids, self.form.end_id))
        examples = encode_pairs(self.tokenizer, rows, self.form)
        lengths, most = [example.length for example in examples], self.limit.num_tokens
        spelt = (f"{row.prompt} {row.completion}" for row in rows)
        kept = (example.ids[:most] for example in examples)
        return Encoded(
            examples,
            lengths,
            self.limit,
            cut=[i for i, length in enumerate(lengths) if length > most],
            without_target=[i for i, example in enumerate(examples) if not example.num_targets(most)],
            faults=self.vocabulary.faults(zip(kept, spelt, strict=True)),
        )

    def encode_prompts(self, prompts: Sequence[str], limit: Limit) -> Encoded[list[int]]:
        """What decoding starts from. What is more than `limit` tokens loses its beginning when it is decoded."""
        self.vocabulary.check_around((*self.form.start_ids, *self.form.separator_ids, self.form.end_id))
        ids = encode_prompts(self.tokenizer, prompts, self.form)
        lengths, most = [len(each) for each in ids], limit.num_tokens
        faults = self.vocabulary.faults(zip((each[-most:] for each in ids), prompts, strict=True))
        cut = [i for i, length in enumerate(lengths) if length > most]
        return Encoded(ids, lengths, limit, cut, faults=faults)

    def part_lengths(self, example: EncodedPair) -> Mapping[str, int]:
        """Of context and completion."""
        return {"context": len(example.prompt_ids), "completion": len(example.completion_ids)}

    def show(self, row: TextRow, example: EncodedPair) -> Mapping[str, Any]:
        """`target_ids[i]` is the token after `input_ids[i]`; it counts in the loss where `target_mask[i]` is true."""
        inputs = example.inputs(self.limit.num_tokens)
        return {
            "context": row.prompt,
            "completion": row.completion,
            **({"part": row.part} if row.part else {}),
            "context_ids": list(example.prompt_ids),
            "completion_ids": list(example.completion_ids),
            "input_ids": inputs,
            "target_ids": list(example.ids[1 : len(inputs) + 1]),
            "target_mask": example.target_mask(self.limit.num_tokens),
        }


@dataclass(frozen=True)
class Generation(Objective[TextRow, EncodedPair, SequenceBatch]):
    """A text that follows a prompt. An item is a prompt with all its references."""

    task: GenerationTask
    limit: Limit  # of an example
    decode: DecodeSection
    evaluation: EvalSection
    reading: Reading
    pad_id: int
    num_positions: int | None = None  # None: no limit
    vocab_size: int | None = None  # rows of the embedding; None: not known

    progress_name: ClassVar[str] = "decoding"
    input_noun: ClassVar[Noun] = ("context", "contexts")

    @override
    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> PairEncoder:
        vocabulary = Vocabulary.of(tokenizer, self.vocab_size)
        return PairEncoder(tokenizer, self._form(tokenizer), self.limit, vocabulary)

    @override
    def collate(self, parts: Sequence[Sequence[EncodedPair]]) -> SequenceBatch:
        examples, counts = [example for part in parts for example in part], [len(part) for part in parts]
        if self.reading == "packed":
            return pack(examples, self.limit.num_tokens, counts)
        batch = pad(examples, self.limit.num_tokens, self.pad_id, counts)
        return batch if self.reading == "padded" else replace(batch, attention_mask=None)

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
            with model.placement.autocast():
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
        return example.inputs(self.limit.num_tokens)

    @override
    def encode_inputs(
        self,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[TextRow],
        options: AnswerOptions | None = None,
    ) -> Encoded[list[int]]:
        """Prompts, which may have as many tokens as the new ones leave positions for."""
        new = self.decode.max_new_tokens
        room = 2**31 if self.num_positions is None else max(self.num_positions - new, 1)
        limit = Limit(room, f" before {new:,} new ones", cut=_CUT_PROMPT)
        prompts = [row.prompt for row in rows]
        return self.encoder(tokenizer).encode_prompts(
            prompts if options else list(dict.fromkeys(prompts)), limit
        )

    @override
    def notes(self, tokenizer: PreTrainedTokenizerBase) -> list[str]:
        others = super().notes(tokenizer)
        ids, size = self.decode.eos_token_ids or (), self.vocab_size
        outside = [str(id_) for id_ in ids if size is not None and id_ >= size]
        said = f"of the {size:,} tokens of the base, and end{'s' * (len(outside) == 1)} no text"
        none = "is none" if len(outside) == 1 else "are none"
        return (
            [f"[decode] eos_token_ids: {' and '.join(outside)} {none} {said}", *others] if outside else others
        )

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

        with nullcontext() if group.lockstep else _merged(model):
            yield from group.map(batches, decode)

    @override
    def answers(
        self, model: Model, rows: Sequence[TextRow], options: AnswerOptions, group: ProcessGroup
    ) -> Iterator[tuple[int, Answered]]:
        strategy = options.strategy(self.beam_search(model))
        prompts, should_stop = [row.prompt for row in rows], group.should_stop_within_item
        with _merged(model):
            for index, text in self._texts(model, prompts, strategy, options.batch_size, should_stop):
                yield index, Answered(text)

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
        """Up to a token that ends a text or `task.stop_text`, stripped (paper's gpt2_decode.py)."""
        tokenizer = model.require_tokenizer()
        ids, ends = self._prompt_ids(model, prompts), self._silent_ends(model)
        generated = generate(model.net, ids, strategy, batch_size=batch_size, should_stop=should_stop)
        for index, tokens in _computed(model, generated):
            own = list(itertools.takewhile(lambda token: token not in ends, tokens))
            text = str(tokenizer.decode(own, clean_up_tokenization_spaces=False))
            yield index, (text.split(self.task.stop_text)[0] if self.task.stop_text else text).strip()

    def beam_search(self, model: Model) -> BeamSearch:
        """The search of `decode`; without `eos_token_ids` a hypothesis ends as the base says (`Model.end_tokens`)."""
        decode = self.decode
        return BeamSearch(
            num_beams=decode.num_beams,
            length_penalty=decode.length_penalty,
            no_repeat_ngram_size=decode.no_repeat_ngram_size,
            max_new_tokens=decode.max_new_tokens,
            eos_token_ids=decode.eos_token_ids or model.end_tokens(),
        )

    def _silent_ends(self, model: Model) -> set[int]:
        """Tokens that end a text and are no part of it: not those which `eos_token_ids` takes from among the words."""
        special = special_tokens(model.require_tokenizer())
        return {*model.end_tokens(), *(special & {*(self.decode.eos_token_ids or ())})}

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
        """By the task's scorer."""
        metrics = self.task.metrics if self.evaluation.metrics is None else self.evaluation.metrics
        answers = [str(prediction.value) for prediction in predictions]
        evidence = [each.evidence for each in predictions] if self._reads_evidence() else None
        return score_groups(SCORERS[self.task.scorer], answers, group_references(rows), metrics, evidence)

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


@contextmanager
def _merged(model: Model) -> Iterator[None]:
    """The LoRA layers are merged inside the block, by products in the model's number format."""
    with ExitStack() as stack:
        with model.placement.autocast():
            stack.enter_context(lora.merged(model.net))
        yield


def _computed(model: Model, generated: Iterator[ItemT]) -> Iterator[ItemT]:
    """Each item, computed in the model's number format; in between, that of whoever takes it holds."""
    while True:
        with model.placement.autocast():
            try:
                item = next(generated)
            except StopIteration:
                return
        yield item


def _validation_batches(examples: Sequence[EncodedPair]) -> list[list[EncodedPair]]:
    """Examples of like lengths together, about _VALIDATION_TOKENS in a row."""
    batches: list[list[EncodedPair]] = [[]]
    for example in sorted(examples, key=lambda e: e.length):
        if batches[-1] and example.length * (len(batches[-1]) + 1) > _VALIDATION_TOKENS:
            batches.append([])
        batches[-1].append(example)
    return batches
