"""Writing a text that follows a prompt: packed sequences, loss on completions, decoding, scores by references."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from lorafit import lora
from lorafit.data import TextRow
from lorafit.data.encode import EncodedPair, TextFormat, encode_pairs, encode_prompts, end_of_text
from lorafit.decoding import BeamSearch, Strategy, batches_of, generate
from lorafit.files import JsonObject
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import Scores, missing_metrics, score_texts
from lorafit.models import Model
from lorafit.objectives.base import AnswerOptions, Encoded, Prediction
from lorafit.objectives.language_model import LanguageModel
from lorafit.recipe import DecodeSection, EvalSection
from lorafit.tasks import Generation as GenerationTask
from lorafit.tasks import ReferenceGroup, group_references
from lorafit.training import ProcessGroup


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
class Generation(LanguageModel[TextRow, EncodedPair]):
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
    def settings(self) -> Mapping[str, Any]:
        return {**self.decode.model_dump(mode="json"), "batch_size": self.evaluation.batch_size}

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
        prompts = [reference_group.prompt for reference_group in group_references(rows)]
        search = self.beam_search(model)

        def decode(batch: Sequence[int]) -> list[Prediction]:
            chosen = [prompts[i] for i in batch]
            texts = self._texts(model, chosen, search, len(batch), group.should_stop_within_item)
            return [Prediction(batch[i], text) for i, text in texts]

        with nullcontext() if group.lockstep else lora.merged(model.net):
            yield from group.map(batches, decode)

    @override
    def answers(
        self, model: Model, rows: Sequence[TextRow], options: AnswerOptions, group: ProcessGroup
    ) -> Iterator[tuple[int, str | float]]:
        search = self.beam_search(model)
        strategy = search if options.strategy is None else options.strategy(search)
        prompts = [row.prompt for row in rows]
        with lora.merged(model.net):
            yield from self._texts(
                model, prompts, strategy, options.batch_size, group.should_stop_within_item
            )

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
