"""Objectives: what is learned and how it is measured. `objective_for` builds the one that serves a task."""

from dataclasses import dataclass
from functools import singledispatch

from transformers import GPT2Config, PretrainedConfig

from lorafit.errors import NotFoundError, RecipeError, SetKey
from lorafit.models import FAMILIES, Family, Reading, family_of, load_config, planned_tokens, way_to_read
from lorafit.objectives.base import (
    Answered,
    AnswerOptions,
    AnyObjective,
    Objective,
    Prediction,
    Validation,
)
from lorafit.objectives.chat import Chat
from lorafit.objectives.classification import Classification
from lorafit.objectives.encoded import Encoded, Limit
from lorafit.objectives.encoder import Encoder
from lorafit.objectives.generation import Generation
from lorafit.objectives.text import Text
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.tasks import Chat as ChatTask
from lorafit.tasks import Generation as GenerationTask
from lorafit.tasks import LabelTask, Task
from lorafit.tasks import Text as TextTask

__all__ = [
    "AnswerOptions",
    "Answered",
    "AnyObjective",
    "BaseFacts",
    "Chat",
    "Classification",
    "Encoded",
    "Encoder",
    "Generation",
    "Limit",
    "Objective",
    "Prediction",
    "Settings",
    "Text",
    "Validation",
    "facts_at_hand",
    "objective_for",
]


@dataclass(frozen=True)
class BaseFacts:
    """What an objective must know of a base, as its config says it. `num_positions_taken` by the method."""

    config: PretrainedConfig
    family: Family
    num_positions_taken: int = 0

    def __post_init__(self) -> None:
        """Raises RecipeError where the method takes all positions."""
        self.family.check_room(self.config, self.num_positions_taken)

    @property
    def num_positions(self) -> int | None:
        """Positions that are left for tokens; None where there is no limit."""
        positions = self.family.num_positions(self.config)
        return None if positions is None else positions - self.num_positions_taken

    @property
    def vocab_size(self) -> int | None:
        """Rows of the embedding, added ones among them; None where the config does not say."""
        size: int | None = getattr(self.family.text_config(self.config), "vocab_size", None)
        added = planned_tokens(self.config)
        return size if size is None or added is None else max(size, added.end)

    @property
    def pad_id(self) -> int:
        """What fills up a padded row; attention does not see it."""
        return int(getattr(self.family.text_config(self.config), "pad_token_id", None) or 0)


def facts_at_hand(task: Task, base: str, revision: str | None = None) -> BaseFacts:
    """Those of a base that is to learn the task; of a tokenizer alone, those of a GPT-2 with room for all."""
    try:
        config = load_config(base, revision, tokens=task.tokens, local_only=True)
    except NotFoundError:
        return BaseFacts(GPT2Config(n_positions=2**31, vocab_size=2**31), FAMILIES["gpt2"])
    return BaseFacts(config, family_of(config))


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
    return Generation(*_of_writers(facts, settings), task)


@objective_for.register
def _(task: ChatTask, facts: BaseFacts, settings: Settings) -> Chat:
    return Chat(*_of_writers(facts, settings), task, settings.data.on_bad_row == "skip")


@objective_for.register
def _(task: TextTask, facts: BaseFacts, settings: Settings) -> Text:
    return Text(*_of_writers(facts, settings), task)


@objective_for.register
def _(task: LabelTask, facts: BaseFacts, settings: Settings) -> Classification:
    room, asked = facts.num_positions, settings.data.max_length
    return Classification(
        task,
        Limit.of(asked, room, ("loses a whole text", "lose a whole text")),
        settings.evaluation,
        way_to_read(facts.family, facts.config, task.output),
        facts.pad_id,
        facts.family.first_position(facts.config),
        int(getattr(facts.config, "type_vocab_size", 0) or 0),
        facts.vocab_size,
    )


def _of_writers(
    facts: BaseFacts, settings: Settings
) -> tuple[Limit, DecodeSection, EvalSection, Reading, int, int | None, int | None]:
    """What every LanguageModel needs. Raises RecipeError where the base cannot decode as it is asked to."""
    room, decode = facts.num_positions, settings.decode
    if room is not None and decode.max_new_tokens >= room:
        raise RecipeError(
            f"[decode] max_new_tokens: {decode.max_new_tokens} leaves no room for a prompt in the {room} positions of "
            f"{facts.config.name_or_path or facts.config.model_type}",
            SetKey("decode.max_new_tokens", note="lower"),
        )
    _check_decode(decode, facts)
    limit = Limit.of(settings.data.max_length, room, ("has no target", "have no target"))
    reading = way_to_read(facts.family, facts.config, "text")
    return limit, decode, settings.evaluation, reading, facts.pad_id, room, facts.vocab_size


def _check_decode(decode: DecodeSection, facts: BaseFacts) -> None:
    """Every beam begins with a token of its own. Raises RecipeError where there are not so many."""
    size = facts.vocab_size
    if size is not None and decode.num_beams > size:
        raise RecipeError(
            f"[decode] num_beams: every one of {decode.num_beams:,} beams begins with a token of its own, and the base "
            f"has {size:,}",
            SetKey("decode.num_beams", note="lower"),
        )
