"""What a method trains of a base, by the base's shape alone: counts, checks and notes, before there are weights."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PretrainedConfig

from lorafit.adapters.restore import check_tensors
from lorafit.errors import RecipeError, SetKey
from lorafit.files import local_path
from lorafit.methods import Method
from lorafit.models import Model, check_quantizable, quantized_names, skeleton, tie_note
from lorafit.run.recipes import Recipe
from lorafit.run.warm_start import plan_warm_start, read_start
from lorafit.training import check_compilable, check_lora_plus, check_recomputable, check_shardable


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters of one kind, a `*` in place of block numbers."""

    name: str
    count: int  # of tensors
    shape: tuple[int, ...]
    num_values: int
    trained: bool


@dataclass(frozen=True)
class TrainedShape:
    """The parameters of base and method, how many of them train, and what is to be said of them."""

    parameters: list[ParameterGroup]
    num_trained: int  # of the method, as the adapter holds it; the head is counted apart
    num_dropped: int  # those that training alone needs, such as a prefix's reparameterisation
    num_head: int
    num_total: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @staticmethod
    def key(recipe: Recipe) -> tuple[object, ...]:
        """What it depends on in a recipe: those in which this is alike have the same."""
        train = recipe.train
        checked = (
            train.init_from,
            train.parallel,
            train.gradient_checkpointing,
            train.compile,
            train.lora_plus_ratio is None,
        )
        return recipe.model, recipe.task, recipe.method, checked

    @staticmethod
    def of(recipe: Recipe, config: PretrainedConfig) -> TrainedShape:
        """That of a recipe whose task is resolved, on the base of this config.

        Raises RecipeError or AdapterError where the method does not fit the base, or the adapter that it starts from.
        """
        method = recipe.method
        shape = skeleton(copy.deepcopy(config), recipe.task.output)  # a method may change what it is given
        num_base = sum(p.numel() for p in shape.net.parameters())
        head = {name for name, _ in shape.head_parameters()}
        in_4_bits = quantized_names(shape)
        shortfalls = method.shortfalls(shape)
        tied = tie_note(recipe.model.base, recipe.model.revision)
        method.attach(shape)
        method.check(shape)
        start = plan_warm_start(method, shape)
        _check(recipe, shape, in_4_bits)
        parameters, training = _groups(shape), shape.trained()
        method.finish(shape)
        saved = shape.trained()
        num_head = sum(p.numel() for name, p in saved.items() if name in head)
        return TrainedShape(
            parameters,
            num_trained=sum(p.numel() for p in saved.values()) - num_head,
            num_dropped=sum(p.numel() for name, p in training.items() if name not in saved),
            num_head=num_head,
            num_total=num_base,
            notes=(start,) if start else (),
            warnings=(*shortfalls, *((tied,) if tied else ())),
        )


def _check_nothing_is_dropped(method: Method, shape: Model) -> None:
    """A start has every tensor that trains."""
    if dropped := shape.trained().keys() - method.saved_tensors(shape).keys():
        raise RecipeError(
            f"[train] init_from: {method.name} trains through {min(dropped)!r}, which no adapter keeps",
            SetKey("method.hidden", 0, "trains the result itself"),
        )


def _check(recipe: Recipe, shape: Model, in_4_bits: Sequence[str]) -> None:
    """What [train] and [model] ask of a model that has the method attached."""
    train = recipe.train
    if train.init_from is not None:
        _check_nothing_is_dropped(recipe.method, shape)
    if train.init_from is not None and local_path(train.init_from).is_dir():
        check_tensors(read_start(train.init_from, recipe.method), shape)
    if recipe.model.quantize is not None:
        _check_quantized(recipe, shape, in_4_bits)
    if train.parallel == "fsdp":
        check_shardable(shape.net)
    if train.gradient_checkpointing:
        check_recomputable(shape.net)
    if train.compile:
        check_compilable(shape)
    if train.lora_plus_ratio is not None:
        check_lora_plus(shape.net)


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


def _groups(shape: Model) -> list[ParameterGroup]:
    """Parameters by name, block numbers as `*`."""
    groups: dict[tuple[str, tuple[int, ...], bool], ParameterGroup] = {}
    for name, parameter in shape.net.named_parameters():
        key = (re.sub(r"\.\d+\.", ".*.", name), tuple(parameter.shape), parameter.requires_grad)
        before = groups.get(key)
        count, values = (before.count, before.num_values) if before else (0, 0)
        groups[key] = ParameterGroup(key[0], count + 1, key[1], values + parameter.numel(), key[2])
    return list(groups.values())
