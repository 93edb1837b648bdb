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
from lorafit.data.encode import start_of_text
from lorafit.data.sequences import EncodedSequence, cut_document
from lorafit.decoding import generate
from lorafit.errors import RecipeError, SetKey
from lorafit.files import JsonObject
from lorafit.metrics.scoring import Scores, missing_metrics
from lorafit.models import Model
from lorafit.models.vocabulary import Vocabulary
from lorafit.objectives.base import Answered, AnswerOptions, Prediction
from lorafit.objectives.encoded import Encoded, Limit, Noun
from lorafit.objectives.language_model import (
    LanguageModel,
    beam_search,
    computed,
    encoded_examples,
    encoded_prompts,
    loss_of,
    merged,
    pieces,
    score_likelihoods,
)
from lorafit.tasks import Text as TextTask
from lorafit.training import ProcessGroup


@dataclass(frozen=True)
class DocumentEncoder:
    """Texts -> examples of at most `limit` tokens, each with the tokenizer's first token; a text ends with
    end-of-text, where the tokenizer has it."""

    tokenizer: PreTrainedTokenizerBase
    limit: Limit
    vocabulary: Vocabulary

    def encode(self, rows: Sequence[DocumentRow]) -> Encoded[EncodedSequence]:
        """As many examples a row as it needs; no token is lost.

        Raises RecipeError where the limit leaves no room for a text.
        """
        self.vocabulary.check_around((*self._start_ids, *self._end_ids))
        found = [(row.text, self.examples(row)) for row in rows]
        examples = [example for _, examples in found for example in examples]
        spelt = [text for text, examples in found for _ in examples]
        notes = []
        if any(len(each) > 1 for _, each in found):
            notes.append(
                f"{len(rows):,} texts are cut into {len(examples):,} examples of at most {self.limit}"
            )
        if num_lost := sum(not each for _, each in found):
            notes.append(
                f"{num_lost:,} of {len(rows):,} texts have one token alone: nothing is learned of it"
            )
        return encoded_examples(examples, spelt, self.limit, self.vocabulary, notes)

    def encode_prompts(self, texts: Sequence[str], limit: Limit) -> Encoded[list[int]]:
        """What a text is continued from."""
        self.vocabulary.check_around(self._start_ids)
        ids = [[*self._start_ids, *self._ids(text)] for text in texts]
        return encoded_prompts(ids, texts, limit, self.vocabulary)

    def examples(self, row: DocumentRow) -> list[EncodedSequence]:
        """Those of one text; none where it has a single token, which nothing stands before."""
        most, num_first = self.limit.num_tokens, max(len(self._start_ids), 1)
        if most <= num_first:
            raise RecipeError(
                f"[data] max_length: no room for a text behind {num_first} token{'s' * (num_first > 1)} within "
                f"{self.limit}",
                SetKey("data.max_length", note="higher"),
            )
        whole = (*self._ids(row.text), *(() if row.goes_on else self._end_ids))
        return cut_document(whole, self._start_ids, most)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    @cached_property
    def _start_ids(self) -> tuple[int, ...]:
        return start_of_text(self.tokenizer)

    @cached_property
    def _end_ids(self) -> tuple[int, ...]:
        end = self.tokenizer.eos_token_id
        return () if end is None else (int(end),)

    def part_lengths(self, example: EncodedSequence) -> Mapping[str, int]:
        """Of the example."""
        return {"text": example.length}

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
    def predict(
        self, model: Model, rows: Sequence[DocumentRow], batches: Sequence[Sequence[int]], group: ProcessGroup
    ) -> Iterator[list[Prediction]]:
        """The loss of every text."""
        encoder = self.encoder(model.require_tokenizer())

        def measure(batch: Sequence[int]) -> list[Prediction]:
            losses = self.losses(model, [encoder.examples(rows[i]) for i in batch])
            return [
                Prediction(i, loss / max(count, 1), (loss, count))
                for i, (loss, count) in zip(batch, losses, strict=True)
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
                "num_targets": loss_of(prediction)["num_targets"],
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
