"""Answering in a conversation: loss on the assistant's turns, the last of which is written anew and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from lorafit.data import ChatRow
from lorafit.data.encoding.chat_encode import ChatFormat
from lorafit.data.encoding.sequences import EncodedSequence
from lorafit.decoding import BeamSearch, Strategy, batches_of, generate, stream
from lorafit.errors import Advice, DataError, SetKey
from lorafit.files import JsonObject
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import Scores, missing_metrics
from lorafit.models import Model, add_tokens
from lorafit.models.vocabulary import Vocabulary
from lorafit.objectives.base import Answered, AnswerOptions, Prediction
from lorafit.objectives.encoded import Encoded, Limit, Noun
from lorafit.objectives.encoder import Block, Encoder, Tally
from lorafit.objectives.language_model import (
    Decoder,
    beam_search,
    block_of,
    computed,
    encoded_prompts,
    loss_of,
    merged,
    pieces,
    predictions_of,
    score_likelihoods,
)
from lorafit.tasks import Chat as ChatTask
from lorafit.tasks import ReferenceGroup
from lorafit.tasks.scoring import score_groups
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
        num_members: int = 1,
    ) -> Iterator[tuple[int, str]]:
        """(index, turn) for every prompt, up to the token that ends it, without special tokens. Indices as those of
        `generate`."""
        generated = generate(
            self.model.net,
            prompts,
            strategy,
            batch_size=batch_size,
            should_stop=should_stop,
            num_members=num_members,
        )
        for index, tokens in computed(self.model, generated):
            yield index, self.form.written(tokens, self.search.eos_token_ids)

    def stream(self, prompt: Sequence[int], strategy: Strategy) -> Iterator[str]:
        """One turn of `texts`, piece by piece, each as soon as it is sure."""
        tokens: list[int] = []
        shown = ""
        with merged(self.model):
            for token in computed(self.model, stream(self.model.net, prompt, strategy)):
                tokens.append(token)
                text = self.form.written(tokens, self.search.eos_token_ids)
                sure = text[: len(text) - len(self.form.end_text)]
                if len(sure) > len(shown) and not sure.endswith("\ufffd"):  # half of a character
                    yield sure[len(shown) :]
                    shown = sure
        yield self.form.written(tokens, self.search.eos_token_ids)[len(shown) :]


@dataclass(frozen=True)
class ChatEncoder(Encoder[ChatRow, EncodedSequence]):
    """Conversations -> token ids by the chat template, cut at `limit` tokens.

    `skips`: conversations that the template does not take are left out, and said.
    """

    tokenizer: PreTrainedTokenizerBase
    form: ChatFormat
    limit: Limit
    vocabulary: Vocabulary
    skips: bool

    @property
    @override
    def example_type(self) -> type[EncodedSequence]:
        return EncodedSequence

    @override
    def settings(self) -> JsonObject:
        return {"template": self.form.source, "train_on": self.form.train_on, "skips": self.skips}

    @override
    def block(self, rows: Sequence[ChatRow]) -> Block[EncodedSequence]:
        """One example a row, more where the template rewrites earlier turns, none where it does not take the row.

        Raises RecipeError where there is no template.
        """
        tried, refused = self._try(rows)
        taken = [(row, examples) for row, examples in tried if examples]
        block = block_of(
            [example for _, examples in taken for example in examples],
            [_spelt(row) for row, examples in taken for _ in examples],
            self.limit,
            self.vocabulary,
        )
        return replace(
            block,
            by_row=[len(examples) for _, examples in tried],
            counts={
                "rewritten": sum(len(examples) > 1 for _, examples in taken),
                "left out": sum(self.form.leaves_out(row) for row, _ in taken),
            },
            refused=refused,
        )

    @override
    def judge(self, tally: Tally) -> list[str]:
        """Raises DataError for rows that the template does not take, unless they are skipped."""
        self._check_refused(tally.refused, all_of_them=not tally.num_examples)
        return _notes(tally.num_rows, tally.refused, tally.counts["rewritten"], tally.counts["left out"])

    def prompts(self, rows: Sequence[ChatRow]) -> list[list[int]]:
        """What the assistant's next turn is written from. Raises DataError for rows that the template does not take."""
        self.form.check()
        return _each(rows, self.form.prompt, lambda index, row: row.place or f"inputs[{index}]:")

    def prompts_of_last_turns(self, rows: Sequence[ChatRow]) -> list[list[int]]:
        """What the assistant's last turn is written from. Raises DataError for rows that the template does not take."""
        self.form.check()
        return _each(rows, lambda row: self.form.last_turn(row)[0], lambda _, row: row.place)

    def usable(self, rows: Sequence[ChatRow]) -> Sequence[ChatRow]:
        """The rows that the template takes. Raises DataError for others, unless these are skipped."""
        tried, refused = self._try(rows)
        taken = [row for row, examples in tried if examples]
        self._check_refused(refused, all_of_them=not taken)
        return taken if refused else rows

    def _try(self, rows: Sequence[ChatRow]) -> tuple[list[tuple[ChatRow, list[EncodedSequence]]], list[str]]:
        """Every row with its examples, none where the template does not take it, and what is wrong with those."""
        self.form.check()
        self.vocabulary.check_around(self.form.end_ids)
        tried: list[tuple[ChatRow, list[EncodedSequence]]] = []
        refused: list[str] = []
        for row in rows:
            try:
                tried.append((row, self.form.sequences(row)))
            except ValueError as error:
                tried.append((row, []))
                refused.append(f"{row.place} {error}".lstrip())
        return tried, refused

    def _check_refused(self, refused: Sequence[str], *, all_of_them: bool) -> None:
        if refused and (not self.skips or all_of_them):
            more = [f"{len(refused) - _SHOWN_FAULTS} more such rows"] if len(refused) > _SHOWN_FAULTS else []
            raise DataError(
                "\n".join([*refused[:_SHOWN_FAULTS], *more]),
                Advice("correct the rows"),
                SetKey("task.template", note="to a template that takes them"),
                SetKey("data.on_bad_row", "skip", "leaves such rows out"),
            )

    @override
    def part_lengths(self, example: EncodedSequence) -> Mapping[str, int]:
        """Of what is read alone, and of what is learned."""
        learned = example.num_targets(example.length)
        return {"given": example.length - learned, "learned": learned}

    @override
    def show(self, row: ChatRow, example: EncodedSequence) -> Mapping[str, Any]:
        """`pieces`: the text in stretches, each with whether it is learned; ids and mask as for generation."""
        return {
            **({"part": row.part} if row.part else {}),
            **pieces(self.form.tokenizer, example, self.limit.num_tokens),
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
class Chat(Decoder[ChatRow, EncodedSequence]):
    """A conversation. An item is one, of which the assistant's last turn is predicted."""

    task: ChatTask
    skips: bool  # conversations that the template does not take

    splits_rows: ClassVar[bool] = True
    progress_name: ClassVar[str] = "decoding"
    input_noun: ClassVar[Noun] = ("conversation", "conversations")

    @override
    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> ChatEncoder:
        return ChatEncoder(
            tokenizer, self._form(tokenizer), self.limit, self.vocabulary(tokenizer), self.skips
        )

    @override
    def usable_rows(self, tokenizer: PreTrainedTokenizerBase, rows: Sequence[ChatRow]) -> Sequence[ChatRow]:
        return self.encoder(tokenizer).usable(rows) if rows else rows

    @override
    def encode_inputs(
        self,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[ChatRow],
        options: AnswerOptions | None = None,
    ) -> Encoded[list[int]]:
        """What the last turns are written from, besides which all that is learned is measured; with `options`, what the
        next turns are written from."""
        encoder, limit, texts = self.encoder(tokenizer), self.prompt_limit(), [*map(_spelt, rows)]
        if options is not None:
            return encoded_prompts(encoder.prompts(rows), texts, limit, encoder.vocabulary)
        prompts = encoded_prompts(encoder.prompts_of_last_turns(rows), texts, limit, encoder.vocabulary)
        measured = encoder.encode(rows)
        measured.check_tokens(self.input_noun)
        cut = measured.note(("example", "examples"))
        return replace(prompts, notes=[f"perplexity: {cut}"] if cut else [])

    @override
    def num_items(self, rows: Sequence[ChatRow]) -> int:
        return len(rows)

    @override
    def prediction_batches(self, model: Model, rows: Sequence[ChatRow]) -> list[list[int]]:
        prompts = self.encoder(model.require_tokenizer()).prompts_of_last_turns(rows)
        return batches_of(model.net, prompts, self.writer(model).search, self.evaluation.batch_size)

    @override
    def predict_members(
        self,
        model: Model,
        rows: Sequence[ChatRow],
        batches: Sequence[Sequence[int]],
        group: ProcessGroup,
        num_members: int,
    ) -> Iterator[list[list[Prediction]]]:
        """Write every last turn, and say how likely the model finds what is to be learned of each conversation."""
        writer, encoder = self.writer(model), self.encoder(model.require_tokenizer())

        def decode(batch: Sequence[int]) -> list[list[Prediction]]:
            chosen, should_stop = [rows[i] for i in batch], group.should_stop_within_item
            prompts = encoder.prompts_of_last_turns(chosen)
            losses = self.losses(model, [writer.form.sequences(row) for row in chosen], num_members)
            written = writer.texts(prompts, writer.search, len(batch), should_stop, num_members)
            return predictions_of(written, batch, losses, num_members)

        with nullcontext() if group.lockstep else merged(model):
            yield from group.map(batches, decode)

    @override
    def answers(
        self, model: Model, rows: Sequence[ChatRow], options: AnswerOptions, group: ProcessGroup
    ) -> Iterator[tuple[int, Answered]]:
        """The assistant's next turn."""
        writer = self.writer(model)
        prompts, strategy = (
            self.encoder(model.require_tokenizer()).prompts(rows),
            options.strategy(writer.search),
        )
        should_stop = group.should_stop_within_item
        with merged(model):
            for index, text in writer.texts(prompts, strategy, options.batch_size, should_stop):
                yield index, Answered(text)

    @override
    def lines(self, rows: Sequence[ChatRow], predictions: Sequence[Prediction]) -> list[JsonObject]:
        return [
            {
                "input": list(_before_last_turn(row)),
                "references": [_last_said(row)],
                "prediction": prediction.value,
                **loss_of(prediction),
                **({"part": row.part} if row.part else {}),
            }
            for row, prediction in zip(rows, predictions, strict=True)
        ]

    @override
    def score(self, rows: Sequence[ChatRow], predictions: Sequence[Prediction]) -> Scores:
        """Perplexity over everything that is learned; metrics of texts over the last turns."""
        names = self.task.metrics if self.evaluation.metrics is None else self.evaluation.metrics
        parts = [row.part for row in rows]
        metrics = self.task.find_metrics(names)
        likely = [metric for metric in metrics if metric.reads == "evidence"]
        scores = score_likelihoods(likely, predictions, parts)
        likelihoods = [metric.name for metric in likely]
        text_names = None if names is None else [name for name in names if name not in likelihoods]
        # A turn that says nothing, but calls, has no words to compare with.
        groups = [ReferenceGroup("", (_last_said(row),), row.part) for row in rows]
        if text_names == [] or not any(group.references[0] for group in groups):
            return scores
        texts = [str(prediction.value) for prediction in predictions]
        return scores.joined(score_groups(SCORERS["plain"], texts, groups, text_names))

    @override
    def missing_metrics(self) -> Mapping[str, str]:
        return missing_metrics(self.task.find_metrics(self.evaluation.metrics))

    def _form(self, tokenizer: PreTrainedTokenizerBase) -> ChatFormat:
        add_tokens(tokenizer, self.task.tokens)
        return ChatFormat(tokenizer, self.task.chat_template, self.task.train_on)

    def writer(self, model: Model) -> Writer:
        """What writes the assistant's turns, as the adapter was trained."""
        form = self._form(model.require_tokenizer())
        return Writer(model, form, beam_search(self.decode, model, form.end_ids))


def _spelt(row: ChatRow) -> str:
    """What is said in a conversation."""
    return " ".join(str(message.get("content", "")) for message in row.messages)


def _each(
    rows: Sequence[ChatRow], make: Callable[[ChatRow], list[int]], where: Callable[[int, ChatRow], str]
) -> list[list[int]]:
    """What is made of every row. Raises DataError with the places of the first ones that the template does not take."""
    found, faults = [], []
    for index, row in enumerate(rows):
        try:
            found.append(make(row))
        except ValueError as error:
            faults.append(DataError(f"{where(index, row)} {error}".lstrip()))
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
