"""Recipe -> Plan: names become objects, sections are checked against each other. No weights, no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from transformers import PretrainedConfig

from lorafit.data import Split
from lorafit.data.hub import pinned
from lorafit.data.order import Order
from lorafit.decoding.session import Way, way_to_decode
from lorafit.errors import Advice, NotFoundError, RecipeError, SetKey
from lorafit.methods import Method
from lorafit.models import (
    FAMILIES,
    Family,
    Reading,
    base_folder,
    family_of,
    is_proven,
    load_config,
    load_tokenizer,
)
from lorafit.objectives import AnyObjective, BaseFacts, Settings, objective_for
from lorafit.objectives.examples import encode_rows
from lorafit.objectives.order import Ordering
from lorafit.recipe import TrainSection
from lorafit.recipe.bounds import MAX_STEPS, STEPS
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.run.tracking import trackers_of
from lorafit.run.trained_shape import ParameterGroup, TrainedShape
from lorafit.tasks import Rows, Task, load_rows
from lorafit.training import Schedule, count_steps, count_warmup

Made = TypeVar("Made")

_READINGS: dict[Reading, str] = {
    "packed": "",
    "padded": "examples are padded instead of sharing a row",
    "single": "examples are read one at a time",
}
_DECODINGS: dict[Way, str] = {
    "tree": "",
    "reorder": "beams do not share a cache",
    "separate": "texts are decoded one at a time",
    "reread": "nothing is cached while decoding",
}


@dataclass(frozen=True)
class Plan:
    """Everything that can be known before the weights are loaded."""

    recipe: Recipe
    method: Method
    task: Task
    rows: Rows
    objective: AnyObjective
    scored_split: Split
    config: PretrainedConfig
    parameters: list[ParameterGroup]
    num_trained: int  # of the method, as the adapter holds it; the head is counted apart
    num_dropped: int  # those that training alone needs, such as a prefix's reparameterisation
    num_head: int
    num_total: int
    num_train_rows: int
    rows_per_epoch: int  # as data.weights say
    rows_known: bool  # counted in the file; else the size of the original data
    schedule: Schedule
    steps_known: bool  # else estimated, since they depend on lengths in tokens, and the tokenizer is not here
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # said again when training starts
    example_notes: tuple[str, ...] = ()  # on rows as token ids, once these are made


class Planner:
    """Makes plans. What several of them have in common, such as rows or the shape of a base, is found once."""

    def __init__(self) -> None:
        self._rows: _Once[Rows] = _Once()
        self._bases: _Once[_Base] = _Once()
        self._shapes: _Once[TrainedShape] = _Once()
        self._orders: _Once[tuple[Order, bool]] = _Once()

    def plan(self, recipe: Recipe) -> Plan:
        """See `make_plan`."""
        data = pinned(recipe.data) or recipe.data
        rows = self._rows((recipe.task, data), lambda: load_rows(recipe.task, data))
        recipe = recipe.model_copy(update={"task": rows.task, "data": data})
        task, train, num_positions = rows.task, recipe.train, recipe.method.num_positions
        _check_patience(train, rows)
        trackers_of(recipe.track)
        task.find_metrics(recipe.eval.metrics)  # an unknown name is an error before anything begins
        of_base = (recipe.model, task, data, recipe.decode, recipe.eval, num_positions)
        base = self._bases(of_base, lambda: _Base.of(recipe))
        shape = self._shapes(TrainedShape.key(recipe), lambda: TrainedShape.of(recipe, base.config))
        order, steps_known = self._orders(
            (of_base, train.batch_size is None),
            lambda: Ordering(train, data, rows, base.objective).planned(recipe.model),
        )
        order = replace(order, section=train)
        return Plan(
            recipe=recipe,
            method=recipe.method,
            task=task,
            rows=rows,
            objective=base.objective,
            scored_split=rows.scored_split,
            config=base.config,
            parameters=shape.parameters,
            num_trained=shape.num_trained,
            num_dropped=shape.num_dropped,
            num_head=shape.num_head,
            num_total=shape.num_total,
            num_train_rows=order.mix.num_examples,
            rows_per_epoch=order.mix.epoch_size,
            rows_known=rows.num_train_rows() is not None,
            schedule=make_schedule(train, order),
            steps_known=steps_known,
            notes=(*rows.notes, *order.notes, *shape.notes),
            warnings=(*shape.warnings, *base.warnings),
        )


class _Once(Generic[Made]):
    """Values by what they are made of; each is made once."""

    def __init__(self) -> None:
        self._made: dict[str, Made] = {}

    def __call__(self, parts: object, make: Callable[[], Made]) -> Made:
        key = repr(parts)
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def load_plan(name_or_path: str | Path, overrides: Sequence[str]) -> Plan:
    """The plan of a recipe file or shipped recipe, with overrides."""
    return make_plan(open_recipe(name_or_path, overrides))


def make_plan(recipe: Recipe) -> Plan:
    """Check everything that needs no weights.

    Raises RecipeError where parts of the recipe do not fit each other, NotFoundError where the base's config or
    a file of training rows is missing, DataError where rows are malformed.
    """
    return Planner().plan(recipe)


@dataclass(frozen=True)
class _Base:
    """What planning knows of a base, and the objective on it."""

    config: PretrainedConfig
    objective: AnyObjective
    warnings: tuple[str, ...]

    @staticmethod
    def of(recipe: Recipe) -> _Base:
        """That of a recipe whose task is resolved. Raises RecipeError for a base that has no head for the task."""
        config, task = base_config(recipe, local_only=True), recipe.task
        facts = BaseFacts(config, family_of(config), recipe.method.num_positions)
        _check_kind(facts.family, task, recipe.model.base)
        objective = objective_for(task, facts, Settings(recipe.data, recipe.decode, recipe.eval))
        return _Base(config, objective, _slower_ways(facts, objective, task))


def base_config(recipe: Recipe, *, local_only: bool = False) -> PretrainedConfig:
    """The base's config for its task, with the recipe's dropouts. Raises as `load_config` does."""
    section, task = recipe.model, recipe.task
    return load_config(
        section.base,
        section.revision,
        dropout=section.dropout,
        head_dropout=section.head_dropout,
        num_labels=task.num_outputs,
        tokens=task.tokens,
        local_only=local_only,
    )


def _slower_ways(facts: BaseFacts, objective: AnyObjective, task: Task) -> tuple[str, ...]:
    """One note on what is done the slow way, since the fast one is not proven for the architecture; mostly none."""
    if is_proven(facts.family):
        return ()
    if task.output == "text":
        ways = [_READINGS[objective.reading], _DECODINGS[way_to_decode(facts.config)]]
    else:  # padded is as fast as it gets where the way to the labels is known to the net alone
        ways = [_READINGS["single"]] if objective.reading == "single" else []
    said = " and ".join(way for way in ways if way)
    why = f"on a small copy of this {facts.family.model_type} nothing faster gave the same numbers, or none was made"
    return (f"{said}: {why}",) if said else ()


def make_schedule(train: TrainSection, order: Order) -> Schedule:
    """Steps, warm-up and peak for the order of the training rows."""
    steps_per_epoch = order.steps_per_epoch
    if steps_per_epoch == 0:
        raise RecipeError(
            f"[train] batch_size: {train.batch_size} is more than the {order.mix.epoch_size} training rows, and "
            f"last_batch is 'drop', so there is no batch",
            SetKey("train.batch_size", note="lower"),
        )
    if train.epochs is not None and train.max_steps is None:
        _check_epochs(train.epochs, order)
    if steps_per_epoch is not None or train.epochs is None:
        num_steps = count_steps(steps_per_epoch or 1, train.epochs, train.max_steps)
    else:
        num_steps = order.num_steps(train.epochs, train.max_steps)
    num_warmup = count_warmup(num_steps, train.warmup_steps, train.warmup_ratio)
    return Schedule(num_steps, num_warmup, train.learning_rate, train.schedule)


def _check_epochs(epochs: float, order: Order) -> None:
    """Raises RecipeError for more steps than a run can have; batches that differ are counted as in the first epoch."""
    if epochs * order.mix.epoch_size <= MAX_STEPS:  # no step is without a row
        return
    each = order.steps_per_epoch or len(order.batches(0))
    if epochs * each > MAX_STEPS:
        raise RecipeError(
            f"[train] epochs: {epochs:g} of {each:,} steps each are more than {MAX_STEPS:,} steps, and {STEPS.why}",
            SetKey("train.epochs", note="lower"),
        )


def _check_patience(train: TrainSection, rows: Rows) -> None:
    if train.patience is not None and "valid" not in rows.splits:
        raise RecipeError(
            "[train] patience: there is no validation split, so no epoch is better than another",
            SetKey("data.valid", note="a file, or a share of the training rows such as 0.1"),
        )


def with_examples(plan: Plan) -> Plan:
    """The plan with the steps that its examples need, and the notes on them, as far as rows and tokenizer are at hand:
    nothing is fetched.

    Raises as `encode_rows`.
    """
    recipe, rows, objective = plan.recipe, plan.rows, plan.objective
    try:
        tokenizer = load_tokenizer(str(base_folder(recipe.model.base, recipe.model.revision)))
    except NotFoundError:
        note = "steps are counted by rows: without the tokenizer it is not known into how many examples these are cut"
        return replace(plan, example_notes=(note,)) if objective.splits_rows else plan
    if not plan.rows_known:
        return replace(plan, example_notes=tuple(objective.notes(tokenizer)))
    at_hand = {split: rows.rows(split) for split in rows.splits_of_run if rows.sources[split].at_hand()}
    examples = encode_rows(objective, tokenizer, at_hand, recipe.data, plan.scored_split)
    if "train" not in at_hand:
        return replace(plan, example_notes=tuple(examples.notes))
    order = Ordering(recipe.train, recipe.data, rows, objective).of(examples.train)
    schedule = make_schedule(recipe.train, order)
    return replace(plan, schedule=schedule, steps_known=True, example_notes=tuple(examples.notes))


def _check_kind(family: Family, task: Task, base: str) -> None:
    """The base must have a head for the task's predictions."""
    if task.output in family.heads:
        return
    able = ", ".join(name for name, other in FAMILIES.items() if task.output in other.heads)
    gives = "writes no text" if task.output == "text" else "has no head for labels"
    raise RecipeError(
        f"[model] base: {base} ({family.model_type}) {gives}, which {task.name} needs",
        Advice(f"take one of {able}"),
    )
