"""Writing a text that follows a prompt: packed sequences, loss on completions, decoding, scores by references."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from lorafit.data import TextRow
from lorafit.data.encoding.encode import EncodedPair, TextFormat, encode_pairs, encode_prompts
from lorafit.decoding import BeamSearch, Strategy, batches_of, generate
from lorafit.files import JsonObject
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import Scores, missing_metrics
from lorafit.metrics.shown import on_page
from lorafit.models import Model, special_tokens
from lorafit.models.vocabulary import Vocabulary
from lorafit.objectives.base import Answered, AnswerOptions, Prediction
from lorafit.objectives.encoded import Encoded, Limit, Noun
from lorafit.objectives.encoder import Block, Encoder
from lorafit.objectives.language_model import (
    Decoder,
    beam_search,
    block_of,
    computed,
    encoded_prompts,
    loss_of,
    merged,
    predictions_of,
)
from lorafit.tasks import Generation as GenerationTask
from lorafit.tasks import group_references
from lorafit.tasks.scoring import score_groups
from lorafit.training import ProcessGroup


@dataclass(frozen=True)
class PairEncoder(Encoder[TextRow, EncodedPair]):
    """Prompt and completion -> token ids, cut at `limit` tokens (paper's gpt2_encode.py and data_utils.py)."""

    tokenizer: PreTrainedTokenizerBase
    form: TextFormat
    limit: Limit
    vocabulary: Vocabulary

    @property
    @override
    def example_type(self) -> type[EncodedPair]:
        return EncodedPair

    @override
    def settings(self) -> JsonObject:
        return vars(self.form)

    @override
    def block(self, rows: Sequence[TextRow]) -> Block[EncodedPair]:
        """One example a row. What lies behind `limit` tokens is dropped when a batch is made."""
        self.vocabulary.check_around((*self.form.start_ids, *self.form.separator_ids, self.form.end_id))
        examples = encode_pairs(self.tokenizer, rows, self.form)
        spelt = (f"{row.prompt} {row.completion}" for row in rows)
        return block_of(examples, spelt, self.limit, self.vocabulary)

    def encode_prompts(self, prompts: Sequence[str], limit: Limit) -> Encoded[list[int]]:
        """What decoding starts from. What is more than `limit` tokens loses its beginning when it is decoded."""
        self.vocabulary.check_around((*self.form.start_ids, *self.form.separator_ids, self.form.end_id))
        ids = encode_prompts(self.tokenizer, prompts, self.form)
        return encoded_prompts(ids, prompts, limit, self.vocabulary)

    @override
    def part_lengths(self, example: EncodedPair) -> Mapping[str, int]:
        """Of context and completion."""
        return {"context": len(example.prompt_ids), "completion": len(example.completion_ids)}

    @override
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
class Generation(Decoder[TextRow, EncodedPair]):
    """A text that follows a prompt. An item is a prompt with all its references."""

    task: GenerationTask

    progress_name: ClassVar[str] = "decoding"
    input_noun: ClassVar[Noun] = ("context", "contexts")

    @override
    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> PairEncoder:
        return PairEncoder(tokenizer, self._form(tokenizer), self.limit, self.vocabulary(tokenizer))

    @override
    def encode_inputs(
        self,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[TextRow],
        options: AnswerOptions | None = None,
    ) -> Encoded[list[int]]:
        """Prompts, besides which the references are read where a metric asks for it."""
        encoder, prompts = self.encoder(tokenizer), [row.prompt for row in rows]
        if options is None and self._reads_evidence():
            encoder.encode(rows).check_tokens(("row", "rows"))
        chosen = prompts if options else list(dict.fromkeys(prompts))
        return encoder.encode_prompts(chosen, self.prompt_limit())

    @override
    def settings(self) -> Mapping[str, Any]:
        evidence = {"evidence": True} if self._reads_evidence() else {}
        return {**super().settings(), **evidence}

    @override
    def num_items(self, rows: Sequence[TextRow]) -> int:
        return len({row.prompt for row in rows})

    @override
    def prediction_batches(self, model: Model, rows: Sequence[TextRow]) -> list[list[int]]:
        prompts = self._prompt_ids(model, [group.prompt for group in group_references(rows)])
        return batches_of(model.net, prompts, self.beam_search(model), self.evaluation.batch_size)

    @override
    def predict_members(
        self,
        model: Model,
        rows: Sequence[TextRow],
        batches: Sequence[Sequence[int]],
        group: ProcessGroup,
        num_members: int,
    ) -> Iterator[list[list[Prediction]]]:
        """Decode every distinct prompt. LoRA layers are merged for the time being (not in lockstep).

        How likely the references are is measured where a metric asks for it; else that of the first one is, for those
        prompts that the page of a run shows: it costs about a hundredth of the time of a run.
        """
        groups, search = group_references(rows), self.beam_search(model)
        read = [group.references for group in groups]
        if not self._reads_evidence():
            shown = {*on_page(len(groups))}
            read = [references[:1] if i in shown else () for i, references in enumerate(read)]

        def decode(batch: Sequence[int]) -> list[list[Prediction]]:
            prompts, should_stop = [groups[i].prompt for i in batch], group.should_stop_within_item
            evidence = self._likelihoods(model, prompts, [read[i] for i in batch], num_members)
            texts = self._texts(model, prompts, search, len(batch), should_stop, num_members)
            return predictions_of(texts, batch, evidence, num_members)

        with nullcontext() if group.lockstep else merged(model):
            yield from group.map(batches, decode)

    @override
    def answers(
        self, model: Model, rows: Sequence[TextRow], options: AnswerOptions, group: ProcessGroup
    ) -> Iterator[tuple[int, Answered]]:
        strategy = options.strategy(self.beam_search(model))
        prompts, should_stop = [row.prompt for row in rows], group.should_stop_within_item
        with merged(model):
            for index, text in self._texts(model, prompts, strategy, options.batch_size, should_stop):
                yield index, Answered(text)

    def _reads_evidence(self) -> bool:
        return any(m.reads == "evidence" for m in self.task.find_metrics(self.evaluation.metrics))

    def _likelihoods(
        self, model: Model, prompts: Sequence[str], references: Sequence[Sequence[str]], num_members: int
    ) -> list[list[tuple[float, ...]]]:
        """For each member: the negative log-likelihood of each prompt's references, and how many tokens they are."""
        encoder = self.encoder(model.require_tokenizer())
        blocks = [
            encoder.block([TextRow(prompt, text) for text in texts if text.strip()])
            for prompt, texts in zip(prompts, references, strict=True)
        ]
        return self.losses(model, [block.known for block in blocks], num_members)

    def _texts(
        self,
        model: Model,
        prompts: Sequence[str],
        strategy: Strategy,
        batch_size: int,
        should_stop: Callable[[], bool],
        num_members: int = 1,
    ) -> Iterator[tuple[int, str]]:
        """Up to a token that ends a text or `task.stop_text`, stripped (paper's gpt2_decode.py). Indices as those of
        `generate`."""
        tokenizer = model.require_tokenizer()
        ids, ends = self._prompt_ids(model, prompts), self._silent_ends(model)
        generated = generate(
            model.net,
            ids,
            strategy,
            batch_size=batch_size,
            should_stop=should_stop,
            num_members=num_members,
        )
        for index, tokens in computed(model, generated):
            own = list(itertools.takewhile(lambda token: token not in ends, tokens))
            text = str(tokenizer.decode(own, clean_up_tokenization_spaces=False))
            yield index, (text.split(self.task.stop_text)[0] if self.task.stop_text else text).strip()

    def beam_search(self, model: Model) -> BeamSearch:
        """The search of `decode`."""
        return beam_search(self.decode, model)

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
                **loss_of(prediction),
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
