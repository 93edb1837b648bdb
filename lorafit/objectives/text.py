"""Going on with texts: every token is learned, and the score is how likely the model finds the held-out ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from lorafit.data import DocumentRow
from lorafit.data.encoding.encode import start_of_text, token_ids
from lorafit.data.encoding.sequences import EncodedSequence, cut_document
from lorafit.decoding import generate
from lorafit.errors import RecipeError, SetKey
from lorafit.files import JsonObject
from lorafit.metrics.scoring import Scores, missing_metrics
from lorafit.models import Model
from lorafit.models.vocabulary import Vocabulary
from lorafit.objectives.base import Answered, AnswerOptions, Prediction
from lorafit.objectives.encoded import Encoded, Limit, Noun
from lorafit.objectives.encoder import Block, Encoder, Tally
from lorafit.objectives.language_model import (
    LanguageModel,
    beam_search,
    block_of,
    computed,
    encoded_prompts,
    merged,
    pieces,
    score_likelihoods,
)
from lorafit.tasks import Text as TextTask
from lorafit.training import ProcessGroup


@dataclass(frozen=True)
class DocumentEncoder(Encoder[DocumentRow, EncodedSequence]):
    """Texts -> examples of at most `limit` tokens, each with the tokenizer's first token; a text ends with
    end-of-text, where the tokenizer has it."""

    tokenizer: PreTrainedTokenizerBase
    limit: Limit
    vocabulary: Vocabulary

    @property
    @override
    def example_type(self) -> type[EncodedSequence]:
        return EncodedSequence

    @override
    def settings(self) -> JsonObject:
        return {"start_ids": self._start_ids, "end_ids": self._end_ids}

    @override
    def block(self, rows: Sequence[DocumentRow]) -> Block[EncodedSequence]:
        """As many examples a row as it needs; no token is lost.

        Raises RecipeError where the limit leaves no room for a text.
        """
        self.vocabulary.check_around((*self._start_ids, *self._end_ids))
        ids = token_ids(self.tokenizer, [row.text for row in rows])
        found = [self._cut(row, own) for row, own in zip(rows, ids, strict=True)]
        block = block_of(
            [example for examples in found for example in examples],
            [row.text for row, examples in zip(rows, found, strict=True) for _ in examples],
            self.limit,
            self.vocabulary,
        )
        counts = {"long": sum(len(each) > 1 for each in found), "lost": sum(not each for each in found)}
        return replace(block, by_row=[*map(len, found)], counts=counts)

    @override
    def judge(self, tally: Tally) -> list[str]:
        rows, examples, notes = f"{tally.num_rows:,} texts", f"{tally.num_examples:,} examples", []
        if tally.counts["long"]:
            notes.append(f"{rows} are cut into {examples} of at most {self.limit}")
        if num_lost := tally.counts["lost"]:
            notes.append(f"{num_lost:,} of {rows} have one token alone: nothing is learned of it")
        return notes

    def encode_prompts(self, texts: Sequence[str], limit: Limit) -> Encoded[list[int]]:
        """What a text is continued from."""
        self.vocabulary.check_around(self._start_ids)
        ids = [[*self._start_ids, *own] for own in token_ids(self.tokenizer, texts)]
        return encoded_prompts(ids, texts, limit, self.vocabulary)

    def examples(self, row: DocumentRow) -> list[EncodedSequence]:
        """Those of one text; none where it has a single token, which nothing stands before."""
        return self._cut(row, token_ids(self.tokenizer, [row.text])[0])

    def _cut(self, row: DocumentRow, ids: Sequence[int]) -> list[EncodedSequence]:
        most, num_first = self.limit.num_tokens, max(len(self._start_ids), 1)
        if most <= num_first:
            raise RecipeError(
                f"[data] max_length: no room for a text behind {num_first} token{'s' * (num_first > 1)} within "
                f"{self.limit}",
                SetKey("data.max_length", note="higher"),
            )
        whole = (*ids, *(() if row.goes_on else self._end_ids))
        return cut_document(whole, self._start_ids, most)

    @cached_property
    def _start_ids(self) -> tuple[int, ...]:
        return start_of_text(self.tokenizer)

    @cached_property
    def _end_ids(self) -> tuple[int, ...]:
        end = self.tokenizer.eos_token_id
        return () if end is None else (int(end),)

    @override
    def part_lengths(self, example: EncodedSequence) -> Mapping[str, int]:
        """Of the example."""
        return {"text": example.length}

    @override
    def show(self, row: DocumentRow, example: EncodedSequence) -> Mapping[str, Any]:
        """`pieces`: the text in stretches, each with whether it is learned; ids and mask as for generation."""
        return {
            **({"part": row.part} if row.part else {}),
            **pieces(self.tokenizer, example, self.limit.num_tokens),
        }


@dataclass(frozen=True)
class Text(LanguageModel[DocumentRow, EncodedSequence]):
    """A text. An item is one, of which the loss is the prediction."""

    task: TextTask

    splits_rows: ClassVar[bool] = True
    progress_name: ClassVar[str] = "evaluating"
    input_noun: ClassVar[Noun] = ("text", "texts")

    @override
    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> DocumentEncoder:
        return DocumentEncoder(tokenizer, self.limit, self.vocabulary(tokenizer))

    @override
    def encode_inputs(
        self,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[DocumentRow],
        options: AnswerOptions | None = None,
    ) -> Encoded[Any]:
        """Whole texts, of which the loss is measured; with `options`, beginnings of texts."""
        encoder = self.encoder(tokenizer)
        if options is None:
            return replace(encoder.encode(rows), notes=())
        return encoder.encode_prompts([row.text for row in rows], self.prompt_limit())

    @override
    def num_items(self, rows: Sequence[DocumentRow]) -> int:
        return len(rows)

    @override
    def prediction_batches(self, model: Model, rows: Sequence[DocumentRow]) -> list[list[int]]:
        return [[i] for i in range(len(rows))]

    @override
    def predict_members(
        self,
        model: Model,
        rows: Sequence[DocumentRow],
        batches: Sequence[Sequence[int]],
        group: ProcessGroup,
        num_members: int,
    ) -> Iterator[list[list[Prediction]]]:
        """The loss of every text."""
        encoder = self.encoder(model.require_tokenizer())

        def measure(batch: Sequence[int]) -> list[list[Prediction]]:
            by_member = self.losses(model, [encoder.examples(rows[i]) for i in batch], num_members)
            return [
                [
                    Prediction(i, loss / max(count, 1), (loss, count))
                    for i, (loss, count) in zip(batch, losses, strict=True)
                ]
                for losses in by_member
            ]

        with nullcontext() if group.lockstep else merged(model):
            yield from group.map(batches, measure)

    @override
    def answers(
        self, model: Model, rows: Sequence[DocumentRow], options: AnswerOptions, group: ProcessGroup
    ) -> Iterator[tuple[int, Answered]]:
        """How the text goes on."""
        tokenizer, strategy = model.require_tokenizer(), options.strategy(beam_search(self.decode, model))
        prompts = self.encode_inputs(tokenizer, rows, options).examples
        with merged(model):
            generated = generate(
                model.net,
                prompts,
                strategy,
                batch_size=options.batch_size,
                should_stop=group.should_stop_within_item,
            )
            for index, tokens in computed(model, generated):
                yield index, Answered(str(tokenizer.decode(tokens, skip_special_tokens=True)))

    @override
    def lines(self, rows: Sequence[DocumentRow], predictions: Sequence[Prediction]) -> list[JsonObject]:
        return [
            {
                "input": row.text,
                "prediction": prediction.value,
                "num_targets": int(prediction.evidence[1]),
                **({"part": row.part} if row.part else {}),
            }
            for row, prediction in zip(rows, predictions, strict=True)
        ]

    @override
    def score(self, rows: Sequence[DocumentRow], predictions: Sequence[Prediction]) -> Scores:
        """Perplexity over all tokens."""
        parts = [row.part for row in rows]
        names = self.task.metrics if self.evaluation.metrics is None else self.evaluation.metrics
        return score_likelihoods(self.task.find_metrics(names), predictions, parts)

    @override
    def missing_metrics(self) -> Mapping[str, str]:
        return missing_metrics(self.task.find_metrics(self.evaluation.metrics))
