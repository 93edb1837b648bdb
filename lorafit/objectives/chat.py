"""Answering in a conversation: loss on the assistant's turns, the last of which is written anew and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from lorafit import lora
from lorafit.data import ChatRow
from lorafit.data.chat_encode import ChatFormat
from lorafit.data.sequences import EncodedSequence
from lorafit.decoding import BeamSearch, Strategy, batches_of, generate
from lorafit.errors import Advice, DataError, SetKey
from lorafit.files import JsonObject
from lorafit.metrics import Likelihood
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import Scores, missing_metrics, score_by
from lorafit.models import Model
from lorafit.objectives.base import AnswerOptions, Encoded, Prediction
from lorafit.objectives.language_model import LanguageModel, beam_search, pieces
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.tasks import Chat as ChatTask
from lorafit.tasks import template_tokens
from lorafit.training import ProcessGroup

_SHOWN_FAULTS = 5


@dataclass(frozen=True)
class Writer:
    """Writes the assistant's turns with a model. `search` is the model's own, and knows what ends a turn."""

    model: Model
    form: ChatFormat
    search: BeamSearch

    def texts(
        self,
        prompts: Sequence[list[int]],
        strategy: Strategy,
        batch_size: int,
        should_stop: Callable[[], bool],
    ) -> Iterator[tuple[int, str]]:
        """(index, turn) for every prompt, up to the token that ends it, without special tokens."""
        for index, tokens in generate(
            self.model.net, prompts, strategy, batch_size=batch_size, should_stop=should_stop
        ):
            yield index, self.form.written(tokens, self.search.eos_token_ids)


@dataclass(frozen=True)
class ChatEncoder:
    """Conversations -> token ids by the chat template, cut at `max_length` tokens.

    `skips`: conversations that the template does not take are left out, and said.
    """

    form: ChatFormat
    max_length: int
    skips: bool

    def encode(self, rows: Sequence[ChatRow]) -> Encoded[EncodedSequence]:
        """One example a row, or more where the template rewrites earlier turns; `cut` and others count examples.

        Raises DataError for rows that the template does not take, RecipeError where there is no template.
        """
        taken, faults = self.take(rows)
        examples = [example for _, found in taken for example in found]
        lengths = [example.length for example in examples]
        return Encoded(
            examples,
            lengths,
            [i for i, length in enumerate(lengths) if length > self.max_length],
            [i for i, example in enumerate(examples) if not example.num_targets(self.max_length)],
            _notes(
                len(rows),
                faults,
                sum(len(found) > 1 for _, found in taken),
                sum(self.form.leaves_out(row) for row, _ in taken),
            ),
        )

    def take(self, rows: Sequence[ChatRow]) -> tuple[list[tuple[ChatRow, list[EncodedSequence]]], list[str]]:
        """The rows that the template takes, each with its examples, and what is wrong with the others.

        Raises DataError for these, unless they are skipped.
        """
        self.form.check()
        taken: list[tuple[ChatRow, list[EncodedSequence]]] = []
        faults: list[str] = []
        for row in rows:
            try:
                taken.append((row, self.form.sequences(row)))
            except ValueError as error:
                faults.append(f"line {row.line}: {error}")
        if faults and (not self.skips or not taken):
            more = [f"{len(faults) - _SHOWN_FAULTS} more such rows"] if len(faults) > _SHOWN_FAULTS else []
            raise DataError(
                "\n".join([*faults[:_SHOWN_FAULTS], *more]),
                Advice("correct the rows"),
                SetKey("task.template", note="to a template that takes them"),
                SetKey("data.on_bad_row", "skip", "leaves such rows out"),
            )
        return taken, faults

    def part_lengths(self, example: EncodedSequence) -> Mapping[str, int]:
        """Of what is read alone, and of what is learned."""
        learned = example.num_targets(example.length)
        return {"given": example.length - learned, "learned": learned}

    def show(self, row: ChatRow, example: EncodedSequence) -> Mapping[str, Any]:
        """`pieces`: the text in stretches, each with whether it is learned; ids and mask as for generation."""
        return {
            **({"part": row.part} if row.part else {}),
            **pieces(self.form.tokenizer, example, self.max_length),
        }


def _notes(num_rows: int, faults: Sequence[str], num_rewritten: int, num_left_out: int) -> list[str]:
    notes = []
    if faults:
        notes.append(
            f"{len(faults)} of {num_rows:,} conversations are left out, since the chat template does not take them "
            f"({faults[0]})"
        )
    if num_rewritten:
        notes.append(
            f"{num_rewritten} of {num_rows:,} conversations are learned in several examples: the chat template writes "
            f"earlier turns of theirs in another way once others follow"
        )
    if num_left_out:
        notes.append(
            f"{num_left_out} of {num_rows:,} conversations hold thinking or calls that the chat template leaves out"
        )
    return notes


@dataclass(frozen=True)
class Chat(LanguageModel[ChatRow, EncodedSequence]):
    """A conversation. An item is one, of which the assistant's last turn is predicted."""

    task: ChatTask
    max_length: int  # tokens of an example, at most
    decode: DecodeSection
    evaluation: EvalSection
    packs: bool
    pad_id: int
    data: DataSection

    splits_rows: ClassVar[bool] = True
    progress_name: ClassVar[str] = "decoding"

    @override
    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> ChatEncoder:
        return ChatEncoder(self._form(tokenizer), self.max_length, self.data.on_bad_row == "skip")

    @override
    def usable_rows(self, tokenizer: PreTrainedTokenizerBase, rows: Sequence[ChatRow]) -> Sequence[ChatRow]:
        return [row for row, _ in self.encoder(tokenizer).take(rows)[0]] if rows else rows

    @override
    def settings(self) -> Mapping[str, Any]:
        return {**self.decode.model_dump(mode="json"), "batch_size": self.evaluation.batch_size}

    @override
    def num_items(self, rows: Sequence[ChatRow]) -> int:
        return len(rows)

    @override
    def prediction_batches(self, model: Model, rows: Sequence[ChatRow]) -> list[list[int]]:
        writer = self.writer(model)
        prompts = [prompt for prompt, _ in self._last_turns(writer.form, rows)]
        return batches_of(model.net, prompts, writer.search, self.evaluation.batch_size)

    @override
    def predict(
        self, model: Model, rows: Sequence[ChatRow], batches: Sequence[Sequence[int]], group: ProcessGroup
    ) -> Iterator[list[Prediction]]:
        """Write every last turn, and say how likely the model finds what is to be learned of each conversation."""
        writer = self.writer(model)
        form, search = writer.form, writer.search

        def decode(batch: Sequence[int]) -> list[Prediction]:
            chosen = [rows[i] for i in batch]
            prompts = [prompt for prompt, _ in self._last_turns(form, chosen)]
            losses = self.losses(model, [form.sequences(row) for row in chosen])
            written = writer.texts(prompts, search, len(batch), group.should_stop_within_item)
            return [Prediction(batch[i], text, *losses[i]) for i, text in written]

        with nullcontext() if group.lockstep else lora.merged(model.net):
            yield from group.map(batches, decode)

    @override
    def answers(
        self, model: Model, rows: Sequence[ChatRow], options: AnswerOptions, group: ProcessGroup
    ) -> Iterator[tuple[int, str | float]]:
        """The assistant's next turn."""
        writer = self.writer(model)
        strategy = writer.search if options.strategy is None else options.strategy(writer.search)
        prompts = [writer.form.prompt(row) for row in rows]
        with lora.merged(model.net):
            yield from writer.texts(prompts, strategy, options.batch_size, group.should_stop_within_item)

    @override
    def lines(self, rows: Sequence[ChatRow], predictions: Sequence[Prediction]) -> list[JsonObject]:
        return [
            {
                "input": list(_before_last_turn(row)),
                "references": [_last_said(row)],
                "prediction": prediction.value,
                "loss": prediction.loss_sum / max(prediction.num_targets, 1),
                "num_targets": prediction.num_targets,
                **({"part": row.part} if row.part else {}),
            }
            for row, prediction in zip(rows, predictions, strict=True)
        ]

    @override
    def score(self, rows: Sequence[ChatRow], predictions: Sequence[Prediction]) -> Scores:
        """Perplexity over everything that is learned; metrics of texts over the last turns."""
        names = self.task.metrics if self.evaluation.metrics is None else self.evaluation.metrics
        parts = [row.part for row in rows]
        splits = parts if any(parts) else None
        metrics = self.task.find_metrics(names)
        likely = [Likelihood(each.loss_sum, each.num_targets) for each in predictions]
        scores = score_by(
            [metric for metric in metrics if metric.kind == "likelihood"],
            likely,
            [None] * len(likely),
            splits=splits,
        )
        # A turn that says nothing, but calls, has no words to compare with.
        spoken = [i for i, row in enumerate(rows) if _last_said(row).strip()]
        if not spoken:
            return scores
        scorer = SCORERS["plain"]
        texts = score_by(
            [metric for metric in metrics if metric.kind == "text"],
            [scorer.prepare(str(predictions[i].value)) for i in spoken],
            scorer.lay_out([[_last_said(rows[i])] for i in spoken]),
            splits=[parts[i] for i in spoken] if splits else None,
            names=names,
        )
        return scores.joined(texts)

    @override
    def missing_metrics(self) -> Mapping[str, str]:
        return missing_metrics(self.task.find_metrics(self.evaluation.metrics))

    def _form(self, tokenizer: PreTrainedTokenizerBase) -> ChatFormat:
        template = self.task.template
        tokens = () if template is None else template_tokens(template)
        return ChatFormat(tokenizer, self.task.chat_template, self.task.train_on, tokens)

    def writer(self, model: Model) -> Writer:
        """What writes the assistant's turns, as the adapter was trained."""
        form = self._form(model.require_tokenizer())
        return Writer(model, form, beam_search(self.decode, model, form.end_ids))

    def _last_turns(self, form: ChatFormat, rows: Sequence[ChatRow]) -> list[tuple[list[int], list[int]]]:
        found, faults = [], []
        for row in rows:
            try:
                found.append(form.last_turn(row))
            except ValueError as error:
                faults.append(DataError(f"line {row.line}: {error}"))
        if faults:
            raise DataError.joined(faults[:_SHOWN_FAULTS])
        return found


def _before_last_turn(row: ChatRow) -> Sequence[JsonObject]:
    last = max(
        (i for i, each in enumerate(row.messages) if each["role"] == "assistant"), default=len(row.messages)
    )
    return row.messages[:last]


def _last_said(row: ChatRow) -> str:
    said = [str(each.get("content", "")) for each in row.messages if each["role"] == "assistant"]
    return said[-1].strip() if said else ""
