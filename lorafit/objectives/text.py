"""Going on with texts: every token is learned, and the score is how likely the model finds the held-out ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from lorafit import lora
from lorafit.data import DocumentRow
from lorafit.data.encode import start_of_text
from lorafit.data.sequences import EncodedSequence, cut_document
from lorafit.decoding import generate
from lorafit.files import JsonObject
from lorafit.metrics import Likelihood
from lorafit.metrics.scoring import Scores, missing_metrics, score_by
from lorafit.models import Model
from lorafit.objectives.base import AnswerOptions, Encoded, Prediction
from lorafit.objectives.language_model import LanguageModel, beam_search, pieces
from lorafit.recipe import DecodeSection, EvalSection
from lorafit.tasks import Text as TextTask
from lorafit.training import ProcessGroup


@dataclass(frozen=True)
class DocumentEncoder:
    """Texts -> examples of at most `max_length` tokens, each with the tokenizer's first token; a text ends with
    end-of-text, where the tokenizer has it."""

    tokenizer: PreTrainedTokenizerBase
    max_length: int

    def encode(self, rows: Sequence[DocumentRow]) -> Encoded[EncodedSequence]:
        """As many examples a row as it needs; no token is lost. `without_target` counts examples."""
        examples = [example for row in rows for example in self.examples(row)]
        lengths = [example.length for example in examples]
        note = (
            f"{len(rows):,} texts are cut into {len(examples):,} examples of {self.max_length} tokens at most"
        )
        return Encoded(examples, lengths, notes=[note] if len(examples) != len(rows) else [])

    def examples(self, row: DocumentRow) -> list[EncodedSequence]:
        """Those of one text."""
        ids = self.tokenizer(row.text, add_special_tokens=False, verbose=False)["input_ids"]
        end = None if row.goes_on else self.tokenizer.eos_token_id
        whole = (*ids, *(() if end is None else (int(end),)))
        return cut_document(whole, start_of_text(self.tokenizer), self.max_length)

    def part_lengths(self, example: EncodedSequence) -> Mapping[str, int]:
        """Of the example."""
        return {"text": example.length}

    def show(self, row: DocumentRow, example: EncodedSequence) -> Mapping[str, Any]:
        """`pieces`: the text in stretches, each with whether it is learned; ids and mask as for generation."""
        return {
            **({"part": row.part} if row.part else {}),
            **pieces(self.tokenizer, example, self.max_length),
        }


@dataclass(frozen=True)
class Text(LanguageModel[DocumentRow, EncodedSequence]):
    """A text. An item is one, of which the loss is the prediction."""

    task: TextTask
    max_length: int  # tokens of an example, at most
    decode: DecodeSection
    evaluation: EvalSection
    packs: bool
    pad_id: int

    splits_rows: ClassVar[bool] = True
    progress_name: ClassVar[str] = "evaluating"

    @override
    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> DocumentEncoder:
        return DocumentEncoder(tokenizer, self.max_length)

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
                Prediction(i, loss / max(count, 1), loss, count)
                for i, (loss, count) in zip(batch, losses, strict=True)
            ]

        with nullcontext() if group.lockstep else lora.merged(model.net):
            yield from group.map(batches, measure)

    @override
    def answers(
        self, model: Model, rows: Sequence[DocumentRow], options: AnswerOptions, group: ProcessGroup
    ) -> Iterator[tuple[int, str | float]]:
        """How the text goes on."""
        tokenizer, search = model.require_tokenizer(), beam_search(self.decode, model)
        strategy = search if options.strategy is None else options.strategy(search)
        start = start_of_text(tokenizer)
        texts = tokenizer([row.text for row in rows], add_special_tokens=False, verbose=False)["input_ids"]
        prompts = [[*start, *ids] for ids in texts]
        with lora.merged(model.net):
            for index, tokens in generate(
                model.net,
                prompts,
                strategy,
                batch_size=options.batch_size,
                should_stop=group.should_stop_within_item,
            ):
                yield index, str(tokenizer.decode(tokens, skip_special_tokens=True))

    @override
    def lines(self, rows: Sequence[DocumentRow], predictions: Sequence[Prediction]) -> list[JsonObject]:
        return [
            {
                "input": row.text,
                "prediction": prediction.value,
                "num_targets": prediction.num_targets,
                **({"part": row.part} if row.part else {}),
            }
            for row, prediction in zip(rows, predictions, strict=True)
        ]

    @override
    def score(self, rows: Sequence[DocumentRow], predictions: Sequence[Prediction]) -> Scores:
        """Perplexity over all tokens."""
        parts = [row.part for row in rows]
        names = self.task.metrics if self.evaluation.metrics is None else self.evaluation.metrics
        likely = [Likelihood(each.loss_sum, each.num_targets) for each in predictions]
        metrics = self.task.find_metrics(names)
        return score_by(metrics, likely, [None] * len(likely), splits=parts if any(parts) else None)

    @override
    def missing_metrics(self) -> Mapping[str, str]:
        return missing_metrics(self.task.find_metrics(self.evaluation.metrics))
