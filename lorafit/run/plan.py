"""Recipe -> Plan: names become objects, sections are checked against each other. No weights, no network."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass

from transformers import PretrainedConfig

from lorafit.data import num_batches
from lorafit.errors import RecipeError, did_you_mean
from lorafit.methods import METHODS, Method
from lorafit.metrics import check_metric_names
from lorafit.models import FAMILIES, Model, family_of, load_config, skeleton
from lorafit.recipe import Recipe, find_recipe, read_recipe
from lorafit.run.warm_start import plan_warm_start
from lorafit.tasks import TASKS, Task
from lorafit.training import Schedule, check_shardable, count_steps, count_warmup


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
    config: PretrainedConfig
    parameters: list[ParameterGroup]
    num_trained: int  # of the method, as the adapter holds it; the head is counted apart
    num_dropped: (
        int  # what training needs besides and drops in the end, such as a prefix's reparameterisation
    )
    num_head: int
    num_total: int
    num_train_rows: int
    rows_known: bool  # counted in the file; else the size of the original data
    schedule: Schedule
    notes: tuple[str, ...] = ()


def load_plan(name_or_path: str, overrides: list[str]) -> Plan:
    """The plan of a recipe file or shipped recipe, with overrides."""
    return make_plan(read_recipe(find_recipe(name_or_path), overrides, METHODS))


def make_plan(recipe: Recipe) -> Plan:
    """Check everything that needs no weights.

    Raises RecipeError where parts of the recipe do not fit each other, NotFoundError where the base's config is not
    at hand.
    """
    task = find_task(recipe)
    check_metric_names(task.name, recipe.eval.metrics)
    method = recipe.method
    assert isinstance(method, Method)
    model_section = recipe.model
    config = load_config(
        model_section.base,
        model_section.revision,
        dropout=model_section.dropout,
        head_dropout=model_section.head_dropout,
        num_labels=num_outputs(task),
        local_only=True,
    )
    _check_kind(recipe, task, config)
    _check_lengths(recipe, task, config, method.num_positions)
    shape = skeleton(copy.deepcopy(config), task.output)  # a method may change what it is given
    num_base = sum(p.numel() for p in shape.net.parameters())
    head = {name for name, _ in shape.head_parameters()}
    method.attach(shape)
    start = plan_warm_start(method, shape)
    if recipe.train.parallel == "fsdp":
        check_shardable(shape.net)
    parameters = _groups(shape)
    training = shape.trained()
    method.finish(shape)
    saved = shape.trained()
    num_head = sum(p.numel() for name, p in saved.items() if name in head)
    counted = task.count_train_rows(recipe.data)
    num_rows = task.num_train_rows if counted is None else counted
    return Plan(
        recipe=recipe,
        method=method,
        task=task,
        config=config,
        parameters=parameters,
        num_trained=sum(p.numel() for p in saved.values()) - num_head,
        num_dropped=sum(p.numel() for name, p in training.items() if name not in saved),
        num_head=num_head,
        num_total=num_base,
        num_train_rows=num_rows,
        rows_known=counted is not None,
        schedule=make_schedule(recipe, num_rows),
        notes=(start,) if start else (),
    )


def make_schedule(recipe: Recipe, num_train_rows: int) -> Schedule:
    """Steps, warm-up and peak for a number of training rows."""
    train = recipe.train
    steps_per_epoch = num_batches(num_train_rows, train.batch_size, train.last_batch)
    if steps_per_epoch == 0:
        raise RecipeError(
            f"[train] batch_size: {train.batch_size} is more than the {num_train_rows} training rows, and last_batch "
            f"is 'drop', so there is no batch; lower it"
        )
    num_steps = count_steps(steps_per_epoch, train.epochs, train.max_steps)
    return Schedule(
        num_steps, count_warmup(num_steps, train.warmup_steps, train.warmup_ratio), train.learning_rate
    )


def num_outputs(task: Task) -> int | None:
    """Outputs of the classification head; None where there is no head."""
    return len(task.labels) if task.labels else (1 if task.output == "score" else None)


def find_task(recipe: Recipe) -> Task:
    """The recipe's task. Raises RecipeError when there is none of that name."""
    name = recipe.task.name
    if name not in TASKS:
        raise RecipeError(
            f"[task] name: unknown task {name!r}; one of {', '.join(TASKS)}{did_you_mean(name, TASKS)}"
        )
    return TASKS[name]


def _check_kind(recipe: Recipe, task: Task, config: PretrainedConfig) -> None:
    """The base must have a head for what the task asks for."""
    base = recipe.model.base
    if task.output in family_of(config).heads:
        return
    able = ", ".join(name for name, family in FAMILIES.items() if task.output in family.heads)
    gives = "writes no text" if task.output == "text" else "has no head for labels"
    raise RecipeError(
        f"[model] base: {base} ({config.model_type}) {gives}, as {task.name} asks for; take one of {able}"
    )


def _check_lengths(recipe: Recipe, task: Task, config: PretrainedConfig, num_taken: int) -> None:
    positions = getattr(config, "max_position_embeddings", None)
    if task.output != "text" or positions is None:
        return
    if recipe.decode.max_new_tokens >= positions - num_taken:
        raise RecipeError(
            f"[decode] max_new_tokens: {recipe.decode.max_new_tokens} leaves no room for a prompt in the "
            f"{positions - num_taken} positions of {recipe.model.base}"
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
