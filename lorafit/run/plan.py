"""Recipe -> Plan: names become objects, sections are checked against each other. No weights, no network."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import constants
from transformers import PretrainedConfig

from lorafit.adapters.restore import check_tensors
from lorafit.data import Split
from lorafit.data.hub import fetched, pinned
from lorafit.data.order import Order
from lorafit.decoding.session import Way, way_to_decode
from lorafit.errors import Advice, LorafitError, NotFoundError, RecipeError, SetKey
from lorafit.files import local_path
from lorafit.methods import Method
from lorafit.models import (
    FAMILIES,
    Family,
    Model,
    Reading,
    base_folder,
    check_quantizable,
    family_of,
    is_proven,
    load_config,
    load_tokenizer,
    quantized_names,
    skeleton,
    tie_note,
)
from lorafit.objectives import AnyObjective, BaseFacts, Settings, objective_for
from lorafit.objectives.examples import encode_rows
from lorafit.objectives.order import Ordering
from lorafit.recipe import DataSection, TrainSection, assignment
from lorafit.recipe.bounds import MAX_STEPS, STEPS
from lorafit.run.files.folder import RunFolder
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.run.tracking import trackers_of
from lorafit.run.warm_start import plan_warm_start, read_start
from lorafit.tasks import Rows, Task, load_rows
from lorafit.training import (
    Schedule,
    check_lora_plus,
    check_recomputable,
    check_shardable,
    count_steps,
    count_warmup,
)

_MAIN = (None, constants.DEFAULT_REVISION)  # what a revision may be that a run has made a commit of
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
    rows_per_epoch: int  # as data.weights say
    rows_known: bool  # counted in the file; else the size of the original data
    schedule: Schedule
    steps_known: bool  # else estimated, since they depend on lengths in tokens, and the tokenizer is not here
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # said again when training starts
    example_notes: tuple[str, ...] = ()  # on rows as token ids, once these are made


def pins(
    name_or_path: str | Path, overrides: Sequence[str], output: Path | None, seeds: Sequence[int] = ()
) -> list[str]:
    """Overrides that say commit and configuration of `data.hub`, which is fetched where it is not here; mostly none.

    With `seeds`, the runs of all of them read the same. Raises NotFoundError where the hub gives none.
    """
    recipe = open_recipe(name_or_path, overrides)
    data = recipe.data
    if data.hub is None:
        return []
    alone = RunFolder.of(recipe, output)
    of_seeds = [(output or alone.path.parent) / f"seed-{seed}" for seed in seeds]
    begun = _begun_with(data, map(RunFolder, of_seeds) if seeds else [alone])
    try:
        known = pinned(begun or data) or fetched(begun or data)
    except NotFoundError:
        if begun is None:
            raise
        known = begun  # a finished run can be shown without its rows
    return [
        assignment("data.hub_revision", known.hub_revision),
        assignment("data.hub_config", known.hub_config),
    ]


def _begun_with(data: DataSection, folders: Iterable[RunFolder]) -> DataSection | None:
    """`[data]` with the commit that the first of the runs began with; None where it means another data set."""
    for folder in folders:
        try:
            kept = open_recipe(folder.recipe).data if folder.recipe.is_file() else None
        except LorafitError:
            continue  # whoever opens the folder says what is wrong with it
        if kept is None or kept.hub != data.hub or data.hub_revision not in _MAIN:
            continue
        if data.hub_config in (None, kept.hub_config):
            return data.model_copy(update={"hub_revision": kept.hub_revision, "hub_config": kept.hub_config})
    return None


def load_plan(name_or_path: str | Path, overrides: Sequence[str]) -> Plan:
    """The plan of a recipe file or shipped recipe, with overrides."""
    return make_plan(open_recipe(name_or_path, overrides))


def make_plan(recipe: Recipe) -> Plan:
    """Check everything that needs no weights.

    Raises RecipeError where parts of the recipe do not fit each other, NotFoundError where the base's config or
    a file of training rows is missing, DataError where rows are malformed.
    """
    data = pinned(recipe.data) or recipe.data
    rows, method = load_rows(recipe.task, data), recipe.method
    task = rows.task
    recipe = recipe.model_copy(update={"task": task, "data": data})
    _check_patience(recipe.train, rows)
    trackers_of(recipe.track)
    task.find_metrics(recipe.eval.metrics)  # an unknown name is an error before anything begins
    config = base_config(recipe, local_only=True)
    facts = BaseFacts(config, family_of(config), method.num_positions)
    _check_kind(facts.family, task, recipe.model.base)
    objective = objective_for(task, facts, Settings(recipe.data, recipe.decode, recipe.eval))
    shape = skeleton(copy.deepcopy(config), task.output)  # a method may change what it is given
    num_base = sum(p.numel() for p in shape.net.parameters())
    head = {name for name, _ in shape.head_parameters()}
    in_4_bits = quantized_names(shape)
    shortfalls = method.shortfalls(shape)
    tied = tie_note(recipe.model.base, recipe.model.revision)
    method.attach(shape)
    method.check(shape)
    start = plan_warm_start(method, shape)
    if recipe.train.init_from is not None and local_path(recipe.train.init_from).is_dir():
        check_tensors(read_start(recipe.train.init_from, method), shape)
    if recipe.model.quantize is not None:
        _check_quantized(recipe, shape, in_4_bits)
    if recipe.train.parallel == "fsdp":
        check_shardable(shape.net)
    if recipe.train.gradient_checkpointing:
        check_recomputable(shape.net)
    if recipe.train.lora_plus_ratio is not None:
        check_lora_plus(shape.net)
    parameters, training = _groups(shape), shape.trained()
    method.finish(shape)
    saved = shape.trained()
    num_head = sum(p.numel() for name, p in saved.items() if name in head)
    order, steps_known = Ordering(recipe.train, data, rows, objective).planned(recipe.model)
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
        num_train_rows=order.mix.num_examples,
        rows_per_epoch=order.mix.epoch_size,
        rows_known=rows.num_train_rows() is not None,
        schedule=make_schedule(recipe.train, order),
        steps_known=steps_known,
        notes=(*rows.notes, *order.notes, *([start] if start else [])),
        warnings=(*shortfalls, *((tied,) if tied else ()), *_slower_ways(facts, objective, task)),
    )


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


def _check_quantized(recipe: Recipe, shape: Model, names: Sequence[str]) -> None:
    """What trains, and how it is shared, must leave the weights of these `names` alone."""
    check_quantizable(shape, names)
    if recipe.train.parallel == "fsdp":
        raise RecipeError(
            "[train] parallel: fsdp cannot shard a base in 4 bits", SetKey("train.parallel", "ddp")
        )
    if recipe.method.changes_base:
        raise RecipeError(
            "[method] init: takes its start out of the base, which is held in 4 bits; choose another"
        )


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
