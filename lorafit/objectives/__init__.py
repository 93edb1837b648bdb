"""Objectives: what is learned and how it is measured. `objective_for` builds the one that serves a task."""

from dataclasses import dataclass
from functools import singledispatch

from transformers import PretrainedConfig

from lorafit.errors import RecipeError, SetKey
from lorafit.models import Family
from lorafit.objectives.base import (
    AnswerOptions,
    AnyObjective,
    Encoded,
    Encoder,
    Objective,
    Prediction,
    Validation,
)
from lorafit.objectives.chat import Chat
from lorafit.objectives.classification import Classification
from lorafit.objectives.generation import Generation
from lorafit.objectives.text import Text
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.tasks import Chat as ChatTask
from lorafit.tasks import Generation as GenerationTask
from lorafit.tasks import LabelTask, Task
from lorafit.tasks import Text as TextTask

__all__ = [
    "AnswerOptions",
    "AnyObjective",
    "BaseFacts",
    "Chat",
    "Classification",
    "Encoded",
    "Encoder",
    "Generation",
    "Objective",
    "Prediction",
    "Settings",
    "Text",
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
        positions = self.family.num_positions(self.config)
        return None if positions is None else positions - self.num_positions_taken

    @property
    def pad_id(self) -> int:
        """What fills up a padded row; attention does not see it."""
        return int(getattr(self.family.text_config(self.config), "pad_token_id", None) or 0)


@dataclass(frozen=True)
class Settings:
    """The sections of a recipe that an objective reads."""

    data: DataSection
    decode: DecodeSection
    evaluation: EvalSection


@singledispatch
def objective_for(task: Task, facts: BaseFacts, settings: Settings) -> AnyObjective:
    """The objective of a task on a base, by the task's class. Raises RecipeError where the base has no room for it."""
    raise TypeError(f"no objective serves {task!r} on {facts!r} with {settings!r}")


@objective_for.register
def _(task: GenerationTask, facts: BaseFacts, settings: Settings) -> Generation:
    max_length, packs = _writer_length(facts, settings), facts.family.can_pack(facts.config)
    return Generation(task, max_length, settings.decode, settings.evaluation, packs, facts.pad_id)


@objective_for.register
def _(task: ChatTask, facts: BaseFacts, settings: Settings) -> Chat:
    max_length, packs = _writer_length(facts, settings), facts.family.can_pack(facts.config)
    decode, evaluation = settings.decode, settings.evaluation
    return Chat(task, max_length, decode, evaluation, packs, facts.pad_id, settings.data)


@objective_for.register
def _(task: TextTask, facts: BaseFacts, settings: Settings) -> Text:
    max_length, packs = _writer_length(facts, settings), facts.family.can_pack(facts.config)
    if max_length < 2:
        raise RecipeError(
            "[data] max_length: 1 token leaves nothing to learn", SetKey("data.max_length", note="higher")
        )
    return Text(task, max_length, settings.decode, settings.evaluation, packs, facts.pad_id)


def _writer_length(facts: BaseFacts, settings: Settings) -> int:
    """Tokens of an example, at most. Raises RecipeError where new tokens leave no room for a prompt."""
    room, asked = facts.num_positions, settings.data.max_length
    max_new_tokens = settings.decode.max_new_tokens
    if room is not None and max_new_tokens >= room:
        raise RecipeError(
            f"[decode] max_new_tokens: {max_new_tokens} leaves no room for a prompt in the {room} positions of "
            f"{facts.config.name_or_path or facts.config.model_type}",
            SetKey("decode.max_new_tokens", note="lower"),
        )
    return asked if room is None else min(asked, room)


@objective_for.register
def _(task: LabelTask, facts: BaseFacts, settings: Settings) -> Classification:
    room, asked = facts.num_positions, settings.data.max_length
    return Classification(
        task,
        asked if room is None else min(asked, room),
        settings.evaluation,
        facts.family.can_pack(facts.config),
        facts.pad_id,
        facts.family.first_position(facts.config),
        int(getattr(facts.config, "type_vocab_size", 0) or 0),
    )
