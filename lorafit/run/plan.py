"""Recipe -> Plan: names become objects, sections are checked against each other. No weights, no network."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import PretrainedConfig

from lorafit.data import Split
from lorafit.data.batches import num_batches
from lorafit.decoding.session import Way, way_to_decode
from lorafit.errors import Advice, NotFoundError, RecipeError, SetKey
from lorafit.methods import Method
from lorafit.models import (
    FAMILIES,
    Family,
    Model,
    Reading,
    base_folder,
    family_of,
    is_proven,
    load_config,
    load_tokenizer,
    skeleton,
    tie_note,
)
from lorafit.objectives import AnyObjective, BaseFacts, Settings, objective_for
from lorafit.objectives.examples import encode_rows
from lorafit.recipe import TrainSection
from lorafit.recipe.bounds import STEPS
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.run.warm_start import plan_warm_start
from lorafit.tasks import PRESETS, Rows, Task, load_rows
from lorafit.training import Schedule, check_shardable, count_steps, count_warmup

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
class ParameterGroup:
    """Parameters of one kind, a `*` in place of block numbers."""

    name: str
    count: int  # of tensors
    shape: tuple[int, ...]
    num_values: int
    trained: bool


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
    rows_known: bool  # counted in the file; else the size of the original data
    schedule: Schedule
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # said again when training starts
    example_notes: tuple[str, ...] = ()  # on rows as token ids, once these are made


def load_plan(name_or_path: str | Path, overrides: Sequence[str]) -> Plan:
    """The plan of a recipe file or shipped recipe, with overrides."""
    return make_plan(open_recipe(name_or_path, overrides))


def make_plan(recipe: Recipe) -> Plan:
    """Check everything that needs no weights.

    Raises RecipeError where parts of the recipe do not fit each other, NotFoundError where the base's config or
    a file of training rows is missing, DataError where rows are malformed.
    """
    rows, method = load_rows(recipe.task, recipe.data), recipe.method
    task = rows.task
    recipe = recipe.model_copy(update={"task": task})
    task.find_metrics(recipe.eval.metrics)  # an unknown name is an error before anything begins
    config = load_config(
        recipe.model.base,
        recipe.model.revision,
        dropout=recipe.model.dropout,
        head_dropout=recipe.model.head_dropout,
        num_labels=task.num_outputs,
        local_only=True,
    )
    facts = BaseFacts(config, family_of(config), method.num_positions)
    _check_kind(facts.family, task, recipe.model.base)
    objective = objective_for(task, facts, Settings(recipe.data, recipe.decode, recipe.eval))
    shape = skeleton(copy.deepcopy(config), task.output)  # a method may change what it is given
    num_base = sum(p.numel() for p in shape.net.parameters())
    head = {name for name, _ in shape.head_parameters()}
    shortfalls = method.shortfalls(shape)
    tied = tie_note(recipe.model.base, recipe.model.revision)
    method.attach(shape)
    method.check(shape)
    start = plan_warm_start(method, shape)
    if recipe.train.parallel == "fsdp":
        check_shardable(shape.net)
    parameters, training = _groups(shape), shape.trained()
    method.finish(shape)
    saved = shape.trained()
    num_head = sum(p.numel() for name, p in saved.items() if name in head)
    counted = rows.num_train_rows()
    num_rows = PRESETS[task.name].size.num_train_rows if counted is None else counted
    return Plan(
        recipe=recipe,
        method=method,
        task=task,
        rows=rows,
        objective=objective,
        scored_split=rows.scored_split,
        config=config,
        parameters=parameters,
        num_trained=sum(p.numel() for p in saved.values()) - num_head,
        num_dropped=sum(p.numel() for name, p in training.items() if name not in saved),
        num_head=num_head,
        num_total=num_base,
        num_train_rows=num_rows,
        rows_known=counted is not None,
        schedule=make_schedule(recipe.train, num_rows),
        notes=(*rows.notes, *([start] if start else [])),
        warnings=(*shortfalls, *((tied,) if tied else ()), *_slower_ways(facts, objective, task)),
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


def make_schedule(train: TrainSection, num_train_rows: int) -> Schedule:
    """Steps, warm-up and peak for a number of training rows."""
    steps_per_epoch = num_batches(num_train_rows, train.batch_size, train.last_batch)
    if steps_per_epoch == 0:
        raise RecipeError(
            f"[train] batch_size: {train.batch_size} is more than the {num_train_rows} training rows, and last_batch "
            f"is 'drop', so there is no batch",
            SetKey("train.batch_size", note="lower"),
        )
    num_steps = count_steps(steps_per_epoch, train.epochs, train.max_steps)
    if num_steps > STEPS.limit:
        raise RecipeError(
            f"[train] epochs: {train.epochs:g} of {steps_per_epoch:,} steps each are more than {STEPS.limit:,} steps, "
            f"and {STEPS.why}",
            SetKey("train.epochs", note="lower"),
        )
    return Schedule(
        num_steps, count_warmup(num_steps, train.warmup_steps, train.warmup_ratio), train.learning_rate
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
    schedule = make_schedule(recipe.train, len(examples.train))
    return replace(plan, schedule=schedule, example_notes=tuple(examples.notes))


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


def _groups(shape: Model) -> list[ParameterGroup]:
    """Parameters by name, block numbers as `*`."""
    groups: dict[tuple[str, tuple[int, ...], bool], ParameterGroup] = {}
    for name, parameter in shape.net.named_parameters():
        key = (re.sub(r"\.\d+\.", ".*.", name), tuple(parameter.shape), parameter.requires_grad)
        before = groups.get(key)
        count, values = (before.count, before.num_values) if before else (0, 0)
        groups[key] = ParameterGroup(key[0], count + 1, key[1], values + parameter.numel(), key[2])
    return list(groups.values())
