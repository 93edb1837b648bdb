"""Contexts -> generated texts -> scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lorafit.data import encode_contexts
from lorafit.data.encode import end_of_text
from lorafit.decoding import BeamSearch, Strategy, batches_of, generate
from lorafit.metrics.scorers import Scorer
from lorafit.metrics.scoring import Scores, score_texts
from lorafit.models import Model
from lorafit.recipe import DecodeSection
from lorafit.tasks import ReferenceGroup


@dataclass(frozen=True)
class Generated:
    """A group's context and references, and what the model wrote for it."""

    group: ReferenceGroup
    text: str

    def to_json(self) -> dict[str, Any]:
        """A line of predictions/<split>.jsonl."""
        line = {
            "input": self.group.context,
            "references": list(self.group.references),
            "prediction": self.text,
        }
        return line | ({"part": self.group.part} if self.group.part else {})


def beam_search(model: Model, decode: DecodeSection) -> BeamSearch:
    """The search a recipe asks for; without `eos_token_ids` the tokenizer's end-of-text token ends a hypothesis."""
    assert model.tokenizer is not None
    return BeamSearch(
        num_beams=decode.num_beams,
        length_penalty=decode.length_penalty,
        no_repeat_ngram_size=decode.no_repeat_ngram_size,
        max_new_tokens=decode.max_new_tokens,
        eos_token_ids=decode.eos_token_ids or (end_of_text(model.tokenizer),),
    )


def decode_texts(
    model: Model,
    contexts: Sequence[str],
    strategy: Strategy,
    *,
    batch_size: int,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[tuple[int, str]]:
    """(index, text) for every context, as batches are done: up to the end-of-text token or an empty line, stripped
    (paper's gpt2_decode.py)."""
    assert model.tokenizer is not None
    prompts = encode_contexts(model.tokenizer, contexts)
    end = str(model.tokenizer.decode([end_of_text(model.tokenizer)]))
    for index, ids in generate(model.net, prompts, strategy, batch_size=batch_size, should_stop=should_stop):
        text = str(model.tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        yield index, text.split(end)[0].split("\n\n")[0].strip()


def decoding_batches(
    model: Model, contexts: Sequence[str], strategy: Strategy, batch_size: int
) -> list[list[int]]:
    """The batches in which `decode_texts` would go about it, as indices."""
    assert model.tokenizer is not None
    return batches_of(model.net, encode_contexts(model.tokenizer, contexts), strategy, batch_size)


def score_generated(
    scorer: Scorer, generated: Sequence[Generated], metrics: Sequence[str] | None = None
) -> Scores:
    """The scores of generated texts, over the whole split and over its parts where it has them.

    A text whose every reference is empty is passed over, and a note says so: the hours of decoding shall not be lost.
    """
    scored = [g for g in generated if any(text.strip() for text in g.group.references)]
    scores = score_texts(
        scorer,
        [g.text for g in scored],
        [g.group.references for g in scored],
        metrics=metrics,
        splits=[g.group.part for g in scored],
    )
    if num_left_out := len(generated) - len(scored):
        note = f"{num_left_out} of {len(generated)} texts have no reference but empty ones and are not scored"
        return replace(scores, notes=(*scores.notes, note))
    return scores
