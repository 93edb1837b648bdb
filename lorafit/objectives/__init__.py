"""Objectives: what is learned and how it is measured. `objective_for` builds the one that serves a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transformers import PretrainedConfig

from lorafit.errors import RecipeError
from lorafit.metrics import Kind
from lorafit.models import Family
from lorafit.objectives.base import (
    AnyObjective,
    Encoded,
    Encoder,
    Objective,
    Prediction,
    Validation,
)
from lorafit.objectives.classification import Classification
from lorafit.objectives.generation import Generation
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.tasks import Task

__all__ = [
    "OBJECTIVES",
    "AnyObjective",
    "BaseFacts",
    "Classification",
    "Encoded",
    "Encoder",
    "Generation",
    "Objective",
    "Prediction",
    "Settings",
    "Validation",
    "objective_for",
]


@dataclass(frozen=True)
class BaseFacts:
    """What an objective must know of a base, as its config says it. `num_positions_taken` by the method."""

    config: PretrainedConfig
    family: Family
    num_positions_taken: int = 0

    @property
    def num_positions(self) -> int | None:
        """Positions that are left for tokens; None where there is no limit."""
        positions: int | None = getattr(self.config, "max_position_embeddings", None)
        return None if positions is None else positions - self.num_positions_taken

    @property
    def pad_id(self) -> int:
        """What fills up a padded row; attention does not see it."""
        return int(self.config.pad_token_id or 0)


@dataclass(frozen=True)
class Settings:
    """The sections of a recipe that an objective reads."""

    data: DataSection
    decode: DecodeSection
    evaluation: EvalSection


def _generation(task: Task, facts: BaseFacts, settings: Settings) -> Generation:
    room = facts.num_positions
    max_new_tokens = settings.decode.max_new_tokens
    if room is not None and max_new_tokens >= room:
        raise RecipeError(
            f"[decode] max_new_tokens: {max_new_tokens} leaves no room for a prompt in the {room} positions of "
            f"{facts.config.name_or_path or facts.config.model_type}"
        )
    asked = settings.data.max_length
    return Generation(
        task,
        asked if room is None else min(asked, room),
        settings.decode,
        settings.evaluation,
        facts.family.can_pack(facts.config),
        facts.pad_id,
    )


def _classification(task: Task, facts: BaseFacts, settings: Settings) -> Classification:
    first = facts.family.first_position(facts.config)
    positions, asked = facts.num_positions, settings.data.max_length
    return Classification(
        task,
        asked if positions is None else min(asked, positions - first),
        settings.evaluation,
        facts.family.can_pack(facts.config),
        facts.pad_id,
        first,
        int(getattr(facts.config, "type_vocab_size", 0) or 0),
    )


OBJECTIVES: dict[Kind, Callable[[Task, BaseFacts, Settings], AnyObjective]] = {
    "text": _generation,
    "label": _classification,
    "score": _classification,
}


def objective_for(task: Task, facts: BaseFacts, settings: Settings) -> AnyObjective:
    """The objective of a task on a base. Raises RecipeError where the base has no room for what is asked."""
    return OBJECTIVES[task.output](task, facts, settings)
