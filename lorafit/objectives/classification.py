"""Giving classes or a score to one text or two: packed or padded rows, the head's loss, predictions, scores."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from lorafit.data import LabelRow
from lorafit.data.encoding.labelled import (
    EncodedText,
    LabelBatch,
    encode_labelled,
    labels_of,
    pack_labelled,
    pad_labelled,
)
from lorafit.data.rows import Label, single
from lorafit.errors import DivergedError, RecipeError, SetKey
from lorafit.files import JsonObject
from lorafit.metrics.scoring import Scores, missing_metrics
from lorafit.models import Model, Reading
from lorafit.models.vocabulary import Vocabulary
from lorafit.objectives.base import Answered, AnswerOptions, Objective, Prediction, Validation
from lorafit.objectives.encoded import Encoded, Limit, Noun
from lorafit.objectives.encoder import Block, Encoder
from lorafit.objectives.label_rules import LABEL_RULES
from lorafit.recipe import EvalSection
from lorafit.tasks import LabelTask
from lorafit.tasks.scoring import score_labels
from lorafit.training import ProcessGroup, label_loss_sum, label_loss_sums

_TOKENS_AT_ONCE = 4096  # padding included


@dataclass(frozen=True)
class TextEncoder(Encoder[LabelRow, EncodedText]):
    """One text, or two of which the longer one loses its end until `limit` tokens fit (paper's run_glue.py)."""

    tokenizer: PreTrainedTokenizerBase
    limit: Limit
    num_types: int  # the model's type_vocab_size
    vocabulary: Vocabulary

    @property
    @override
    def example_type(self) -> type[EncodedText]:
        return EncodedText

    @override
    def settings(self) -> JsonObject:
        return {"num_types": self.num_types}

    @override
    def block(self, rows: Sequence[LabelRow]) -> Block[EncodedText]:
        """One example a row. Raises RecipeError where the limit leaves no room for a text."""
        self.vocabulary.check_around(self.tokenizer("", verbose=False)["input_ids"])
        most = self.limit.num_tokens
        whole = encode_labelled(self.tokenizer, rows, self.num_types)
        lengths = [len(example.ids) for example in whole]
        cut = [i for i, length in enumerate(lengths) if length > most]
        room = self._room([rows[i] for i in cut])
        short = encode_labelled(self.tokenizer, [rows[i] for i in cut], self.num_types, most)
        examples = list(whole)
        for index, example in zip(cut, short, strict=True):
            examples[index] = example
        spelt = (" ".join(row.texts.values()) for row in rows)
        faults = self.vocabulary.faults(zip((example.ids for example in examples), spelt, strict=True))
        lost = [i for i in cut if sum(map(bool, rows[i].texts.values())) > room]
        return Block(examples, lengths, cut, lost, faults)

    def _room(self, rows: Sequence[LabelRow]) -> int:
        """Tokens for texts, beside the special ones; each text that is cut keeps one where there are so many."""
        if not rows:
            return self.limit.num_tokens
        num_special = self.tokenizer.num_special_tokens_to_add(pair=len(rows[0].texts) > 1)
        if self.limit.num_tokens <= num_special:
            raise RecipeError(
                f"[data] max_length: no room for a text beside {num_special} special tokens within {self.limit}",
                SetKey("data.max_length", note="higher"),
            )
        return self.limit.num_tokens - num_special

    @override
    def part_lengths(self, example: EncodedText) -> Mapping[str, int]:
        """Of the text, or of both with what stands between them."""
        return {"text": len(example.ids)}

    @override
    def show(self, row: LabelRow, example: EncodedText) -> Mapping[str, Any]:
        """The texts by column, the token ids and what is learned of them."""
        types = {} if example.types is None else {"token_type_ids": list(example.types)}
        part = {"part": row.part} if row.part else {}
        return {**row.texts, "label": row.label, **part, "input_ids": list(example.ids), **types}


@dataclass(frozen=True)
class Classification(Objective[LabelRow, EncodedText, LabelBatch]):
    """A class, several, or a score, as the task's output says. An item is a row."""

    task: LabelTask
    limit: Limit  # of an example
    evaluation: EvalSection
    reading: Reading
    pad_id: int
    first_position: int  # the position id of an example's first token
    num_types: int
    vocab_size: int | None = None  # rows of the embedding; None: not known

    progress_name: ClassVar[str] = "evaluating"
    input_noun: ClassVar[Noun] = ("row", "rows")

    @override
    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> TextEncoder:
        vocabulary = Vocabulary.of(tokenizer, self.vocab_size)
        return TextEncoder(tokenizer, self.limit, self.num_types, vocabulary)

    @override
    def collate(self, parts: Sequence[Sequence[EncodedText]]) -> LabelBatch:
        examples, counts = [example for part in parts for example in part], [len(part) for part in parts]
        sums = self._sums_of_weights(parts)
        if self.reading == "packed":
            return replace(pack_labelled(examples, self.first_position, counts), sums_of_weights=sums)
        batch = replace(pad_labelled(examples, self.pad_id, counts), sums_of_weights=sums)
        return batch if self.reading == "padded" else replace(batch, attention_mask=None)

    @override
    def loss_sums(self, model: Model, batch: LabelBatch, label_smoothing: Sequence[float]) -> Tensor:
        """Cross-entropy, binary cross-entropy or squared error."""
        batch = batch.to(model.device)
        outputs, weights = label_outputs(model, batch), self._weights(model.device)
        return label_loss_sums(outputs, batch.labels, batch.num_targets, label_smoothing, weights)

    @override
    def validation_rows(self, rows: Sequence[LabelRow]) -> Sequence[LabelRow]:
        """Of a valid split in parts, those of the headline's part."""
        part = self.task.headline_score.rpartition(".")[0]
        chosen = [i for i, row in enumerate(rows) if row.part in ("", part)]
        return rows if len(chosen) == len(rows) else [rows[i] for i in chosen]

    @override
    def validate_members(
        self,
        model: Model,
        rows: Sequence[LabelRow],
        examples: Sequence[EncodedText],
        group: ProcessGroup,
        num_members: int,
    ) -> list[Validation]:
        """Mean loss without label smoothing, and the scores, of which the headline tells the best epoch."""
        batches = _alike(examples)
        order = torch.tensor([i for batch in batches for i in batch]).argsort()
        found = list(self._outputs(model, examples, batches, group, num_members))
        return [
            self._validation(rows, examples, torch.cat([batch[member] for batch in found])[order])
            for member in range(num_members)
        ]

    def _validation(
        self, rows: Sequence[LabelRow], examples: Sequence[EncodedText], outputs: Tensor
    ) -> Validation:
        """By the outputs [n, classes] of the examples."""
        loss_sum = label_loss_sum(outputs, labels_of(examples), 0.0, self._weights(outputs.device))
        [weight] = self._sums_of_weights([examples]) or [len(examples)]
        if not math.isfinite(loss_sum.item()):
            return Validation(loss_sum.item() / weight, quality=-sys.float_info.max)
        predictions = self._predictions(range(len(examples)), outputs)
        scores = self._score(rows, predictions, None).all
        return Validation(
            loss=loss_sum.item() / weight,
            quality=self._quality(scores),
            scores=scores,
            notes=self._collapsed(predictions, {example.label for example in examples}),
        )

    @override
    def bucket_length(self, length: int) -> int:
        return self.num_inputs(length)

    @override
    def num_inputs(self, length: int) -> int:
        return min(length, self.limit.num_tokens)

    @override
    def inputs(self, example: EncodedText) -> list[int]:
        return list(example.ids)

    @override
    def encode_inputs(
        self,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[LabelRow],
        options: AnswerOptions | None = None,
    ) -> Encoded[EncodedText]:
        return self.encoder(tokenizer).encode(rows)

    @override
    def num_items(self, rows: Sequence[LabelRow]) -> int:
        return len(rows)

    @override
    def prediction_batches(self, model: Model, rows: Sequence[LabelRow]) -> list[list[int]]:
        return _alike(self.encoder(model.require_tokenizer()).encode(rows).examples)

    @override
    def predict_members(
        self,
        model: Model,
        rows: Sequence[LabelRow],
        batches: Sequence[Sequence[int]],
        group: ProcessGroup,
        num_members: int,
    ) -> Iterator[list[list[Prediction]]]:
        """The class with the greatest output, the classes above one half, or the score itself."""
        examples = self.encoder(model.require_tokenizer()).encode(rows).examples
        outputs = self._outputs(model, examples, batches, group, num_members)
        for indices, of_members in zip(batches, outputs, strict=True):
            if any(each.isnan().any() for each in of_members):
                raise DivergedError("predicting: the answers are NaN; are the model's weights NaN?")
            yield [self._predictions(indices, each) for each in of_members]

    @override
    def answers(
        self, model: Model, rows: Sequence[LabelRow], options: AnswerOptions, group: ProcessGroup
    ) -> Iterator[tuple[int, Answered]]:
        batches = self.prediction_batches(model, rows)
        for predictions in self.predict(model, rows, batches, group):
            yield from ((each.index, self._answered(each)) for each in predictions)

    @override
    def lines(self, rows: Sequence[LabelRow], predictions: Sequence[Prediction]) -> list[JsonObject]:
        return [
            {
                "input": dict(row.texts),
                "label": None if row.label is None else self.task.label_text(row.label),
                **self._answered(prediction).to_json(),
                **({"part": row.part} if row.part else {}),
            }
            for row, prediction in zip(rows, predictions, strict=True)
        ]

    @override
    def score(self, rows: Sequence[LabelRow], predictions: Sequence[Prediction]) -> Scores:
        return self._score(rows, predictions, self.evaluation.metrics)

    @override
    def missing_metrics(self) -> Mapping[str, str]:
        return missing_metrics(self.task.find_metrics(self.evaluation.metrics))

    def _score(
        self, rows: Sequence[LabelRow], predictions: Sequence[Prediction], names: Sequence[str] | None
    ) -> Scores:
        answers, labels = [prediction.label for prediction in predictions], [row.label for row in rows]
        evidence = [prediction.evidence for prediction in predictions]
        return score_labels(self.task, answers, labels, [row.part for row in rows], names, evidence)

    def _outputs(
        self,
        model: Model,
        examples: Sequence[EncodedText],
        batches: Sequence[Sequence[int]],
        group: ProcessGroup,
        num_members: int,
    ) -> Iterator[list[Tensor]]:
        """The head's outputs [n, classes] of every batch, by member: float32 on the CPU, without dropout."""

        @torch.inference_mode()
        def outputs_of(indices: Sequence[int]) -> list[Tensor]:
            batch = self.collate([[examples[i] for i in indices]] * num_members).to(model.device)
            with model.placement.autocast():
                return list(label_outputs(model, batch).float().cpu().chunk(num_members))

        was_training = model.net.training
        model.net.eval()
        yield from group.map(batches, outputs_of)
        model.net.train(was_training)

    def _predictions(self, indices: Sequence[int], outputs: Tensor) -> list[Prediction]:
        """Of the examples of these indices, whose outputs are [n, classes]."""
        rule = LABEL_RULES[self.task.output]
        evidence = [] if rule.probabilities is None else rule.probabilities(outputs).tolist()
        decided = zip(indices, rule.decide(outputs), evidence or [()] * len(indices), strict=True)
        return [Prediction(index, label, tuple(behind)) for index, label, behind in decided]

    def _answered(self, prediction: Prediction) -> Answered:
        named = zip(self.task.labels or (), prediction.evidence, strict=True)
        return Answered(
            self.task.label_text(prediction.label), {name: round(share, 6) for name, share in named}
        )

    def _quality(self, scores: Mapping[str, float | None]) -> float:
        """The headline, the greater the better; of a metric that names its scores itself, the first of them."""
        key = self.task.headline_score.rpartition(".")[2]
        value: float | None = scores.get(key, next(iter(scores.values()), None))
        if value is None:
            return -sys.float_info.max
        metrics = self.task.find_metrics(None)
        return -value if any(key in m.keys and not m.higher_is_better for m in metrics) else value

    def _weights(self, device: torch.device) -> Tensor | None:
        return None if self.task.weights is None else torch.tensor(self.task.weights, device=device)

    def _sums_of_weights(self, parts: Sequence[Sequence[EncodedText]]) -> tuple[float, ...] | None:
        """Of the examples' classes, by part; None where each example counts 1."""
        weights = self.task.weights
        if weights is None or self.task.output != "label":
            return None
        places = [[int(single(e.label)) for e in part if e.label is not None] for part in parts]
        return tuple(sum(weights[place] for place in part) for part in places)

    def _collapsed(self, predictions: Sequence[Prediction], labels: Set[Label | None]) -> tuple[str, ...]:
        """A note when everything gets the same answer, although there is more than one right one."""
        if len({prediction.value for prediction in predictions}) > 1 or len(labels) == 1:
            return ()
        match self.task.label_text(predictions[0].label):
            case float() as score:
                shown = f"{score:.3f}"
            case answer:
                shown = repr(answer)
        return (
            f"collapsed: the answer to all {len(predictions):,} validation examples is {shown}; a lower "
            f"train.learning_rate, a longer warm-up or another train.seed may help",
        )


def label_outputs(model: Model, batch: LabelBatch) -> Tensor:
    """The head's outputs, [n, classes] or [n, 1]. A net that is given packed rows must `take_packed_rows`."""
    return model.head_outputs(
        batch.input_ids,
        batch.lengths,
        batch.num_targets,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        token_type_ids=batch.token_type_ids,
    )


def _alike(examples: Sequence[EncodedText]) -> list[list[int]]:
    """Indices by length, so that little is padded, as many at once as `_TOKENS_AT_ONCE` allows."""
    batches: list[list[int]] = [[]]
    for index in sorted(range(len(examples)), key=lambda i: len(examples[i].ids)):
        if batches[-1] and len(examples[index].ids) * (len(batches[-1]) + 1) > _TOKENS_AT_ONCE:
            batches.append([])
        batches[-1].append(index)
    return batches
