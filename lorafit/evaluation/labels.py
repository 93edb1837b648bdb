"""Labelled texts -> the head's outputs -> predictions and their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lorafit.data import EncodedText, LabelBatch, LabelledText, encode_labelled, pack_labelled, pad_labelled
from lorafit.metrics import Kind, Scores, find_metric
from lorafit.models import Model
from lorafit.tasks import LabelTask

_TOKENS_AT_ONCE = 4096  # padding included


def encode_for(model: Model, examples: Sequence[LabelledText], max_length: int) -> list[EncodedText]:
    """Token ids of at most `max_length`, or as many as the base has positions."""
    assert model.tokenizer is not None
    config = model.net.config
    room = model.family.num_positions(config)
    num_types = getattr(config, "type_vocab_size", 0)
    longest = max_length if room is None else min(max_length, room)
    return encode_labelled(model.tokenizer, examples, longest, num_types)


def collate(model: Model, examples: Sequence[EncodedText]) -> LabelBatch:
    """One packed row where the architecture takes it, else padded rows."""
    if model.family.can_pack(model.net.config):
        return pack_labelled(examples, model.family.first_position(model.net.config))
    return pad_labelled(examples, model.net.config.pad_token_id or 0)


def label_outputs(model: Model, batch: LabelBatch) -> Tensor:
    """The head's outputs, [n, classes] or [n, 1]. A net that is given packed rows must `take_packed_rows`."""
    return model.head_outputs(
        batch.input_ids,
        batch.lengths,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        token_type_ids=batch.token_type_ids,
    )


Each = Callable[[Sequence[Any], Callable[[Any], Any]], Iterable[Any]]
"""How to do work for every item: `map` the other way round, or several processes together."""


def in_turn(items: Sequence[Any], work: Callable[[Any], Any]) -> Iterable[Any]:
    """One after the other."""
    return map(work, items)


def predict_outputs(
    model: Model,
    examples: Sequence[EncodedText],
    progress: Callable[[int], None] = lambda _: None,
    each: Each = in_turn,
) -> Tensor:
    """Outputs of every example in the given order, float32 on the CPU, without dropout."""
    was_training = model.net.training
    model.net.eval()
    outputs: dict[int, Tensor] = {}
    for indices, rows in each(list(_alike(examples)), lambda indices: _predict(model, examples, indices)):
        outputs |= dict(zip(indices, rows, strict=True))
        progress(len(outputs))
    model.net.train(was_training)
    return torch.stack([outputs[i] for i in range(len(examples))])


@torch.inference_mode()
def _predict(
    model: Model, examples: Sequence[EncodedText], indices: list[int]
) -> tuple[list[int], list[Tensor]]:
    """The indices, and the outputs of these examples."""
    batch = collate(model, [examples[i] for i in indices]).to(model.device)
    return indices, list(label_outputs(model, batch).float().cpu())


def _alike(examples: Sequence[EncodedText]) -> Iterator[list[int]]:
    """Indices by length, so that little is padded, as many at once as `_TOKENS_AT_ONCE` allows."""
    chosen: list[int] = []
    for index in sorted(range(len(examples)), key=lambda i: len(examples[i].ids)):
        if chosen and len(examples[index].ids) * (len(chosen) + 1) > _TOKENS_AT_ONCE:
            yield chosen
            chosen = []
        chosen.append(index)
    yield chosen


def decide(task: LabelTask, outputs: Tensor) -> list[float]:
    """[n, classes] -> the class with the greatest output; [n, 1] -> the score itself."""
    return outputs.argmax(dim=1).tolist() if task.labels else outputs[:, 0].tolist()


@dataclass(frozen=True)
class Labelled:
    """An example and what the model says of it."""

    example: LabelledText
    prediction: float

    def to_json(self, task: LabelTask) -> dict[str, Any]:
        """A line of predictions/<split>.jsonl."""
        label = self.example.label
        line = {
            "input": dict(self.example.texts),
            "label": None if label is None else task.label_text(label),
            "prediction": task.label_text(self.prediction),
        }
        return line | ({"part": self.example.part} if self.example.part else {})


def score_labelled(
    task: LabelTask, labelled: Sequence[Labelled], names: Sequence[str] | None = None
) -> Scores:
    """The task's metrics, or those named, over all examples and over each part. Without labels there are no scores."""
    known = [item for item in labelled if item.example.label is not None]
    if not known:
        return Scores({"all": {}}, {}, notes=("this split has no labels, so nothing is scored",))
    kind: Kind = "label" if task.labels else "score"
    metrics = [find_metric(name, kind) for name in (task.metrics if names is None else names)]
    parts: dict[str, dict[str, float | None]] = {}
    signatures: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for part in ("all", *dict.fromkeys(item.example.part for item in known if item.example.part)):
        chosen = [item for item in known if part in ("all", item.example.part)]
        predictions = [_as(kind, item.prediction) for item in chosen]
        references = [_as(kind, item.example.label) for item in chosen]
        scores = [score for metric in metrics for score in metric.compute(predictions, references)]
        parts[part] = {score.name: score.value for score in scores}
        signatures |= {score.name: score.signature for score in scores}
        reasons |= {score.name: score.reason for score in scores if score.value is None}
    return Scores(parts, signatures, reasons)


def _as(kind: str, value: float | None) -> float:
    assert value is not None
    return int(value) if kind == "label" else float(value)
