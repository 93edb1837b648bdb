"""adapter.json of format version 1, which named its task and held no options of it, as one of version 2."""

from __future__ import annotations

import json
from typing import Literal

from lorafit.adapters.card import AdapterCard, BaseCard, Card, FileCard, Provenance
from lorafit.files import JsonObject
from lorafit.recipe import DataSection, DecodeSection
from lorafit.tasks import PRESETS, Classification, Generation, Regression, Task, make_task

FORMAT_VERSION: Literal[1] = 1


class TaskCardV1(Card):
    """What the adapter was trained for. `labels` in the order of the classifier's outputs; None for text."""

    name: str
    output: Literal["text", "label", "score"]
    labels: list[str] | None = None


class AdapterCardV1(Card):
    """The whole of adapter.json as it was."""

    format_version: Literal[1]
    base: BaseCard
    method: JsonObject
    task: TaskCardV1
    data: DataSection = DataSection()
    decode: DecodeSection = DecodeSection()
    scores: JsonObject = {}
    provenance: Provenance
    files: dict[str, FileCard] = {}
    seal: str = ""


def upgraded(document: JsonObject) -> AdapterCard:
    """The card in the form of version 2, with the seal that it had. Raises pydantic's ValidationError."""
    card = AdapterCardV1.model_validate_json(json.dumps(document))
    task = _task(card.task)
    data = PRESETS[task.name].data if task.name in PRESETS else {}
    return AdapterCard(
        base=card.base,
        method=card.method,
        task=task.options(),
        data=card.data.model_copy(update=dict(data)),
        decode=card.decode,
        scores=card.scores,
        provenance=card.provenance,
        files=card.files,
        seal=card.seal,
    )


def _task(card: TaskCardV1) -> Task:
    """The preset of that name, where it has that output and these labels; else a task of which no more is known."""
    labels = tuple(card.labels) if card.labels is not None else None
    if card.name in PRESETS:
        task = make_task(card.name)
        if (task.output, task.labels) == (card.output, labels):
            return task
    match card.output:
        case "label":
            return Classification(name=_own_name(card, "classification"), labels=labels)
        case "score":
            return Regression(name=_own_name(card, "regression"))
        case "text":
            return Generation(name=_own_name(card, "generation"))


def _own_name(card: TaskCardV1, kind: str) -> str:
    """Its name; that of the kind for a preset with labels that are not the preset's."""
    return kind if card.name in PRESETS else card.name
