"""Which runs of a family share a base, which of them are trained together on it, and by which process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lorafit.run.plan import Plan
from lorafit.training import ProcessGroup

Way = Literal["together", "in turns", "apart"]
"""together: in one packed row; in turns: one after the other on one base; apart: each loads a base of its own."""

_OF_THE_BASE = ("model", "task", "data")
_OF_TRAINING_ALONE, _OF_SHARES = ("data.weights", "task.class_weights"), ("data.train", "data.seed")
_OF_THE_PASS = ("gradient_checkpointing", "parallel", "compile")  # keys of [train] that change the net itself


@dataclass(frozen=True)
class Group:
    """Runs, by their numbers in the family, that share a base or, `apart`, do not. `why` they are not together."""

    members: tuple[int, ...]
    way: Way
    why: str = ""
    needs_all_processes: bool = False  # the base is sharded over them


def group(plans: Sequence[Plan]) -> list[Group]:
    """The groups of a family, in the order of their first members."""
    found: dict[str, list[int]] = {}
    for number, plan in enumerate(plans):
        found.setdefault(repr(_shared(plan)), []).append(number)
    groups = []
    for numbers in found.values():
        way, why = _way([plans[number] for number in numbers])
        is_sharded = plans[numbers[0]].recipe.train.parallel == "fsdp"
        groups.append(Group(tuple(numbers), way, why, is_sharded))
    return groups


def shared_out(plans: Sequence[Plan], processes: ProcessGroup) -> list[tuple[Group, ProcessGroup]]:
    """What this process trains of every group, and with which other processes.

    The longest runs are dealt first, one to each process; each round begins with another process, so that a value which
    comes back every so many runs, such as a rate at which all diverge, does not fall to one process alone.
    """
    groups = group(plans)
    numbers = [number for each in groups if not each.needs_all_processes for number in each.members]
    numbers.sort(key=lambda number: _num_examples(plans[number]), reverse=True)
    num_parts = min(len(numbers), processes.size)
    part, own = processes.split(num_parts) if numbers else (0, processes)
    mine = {number for i, number in enumerate(numbers) if (i + i // num_parts) % num_parts == part}
    shares = []
    for each in groups:
        if each.needs_all_processes:
            shares.append((each, processes))
        elif members := tuple(number for number in each.members if number in mine):
            shares.append((replace(each, members=members), own))
    return shares


def _num_examples(plan: Plan) -> int:
    """About how many examples a run reads."""
    return plan.schedule.num_steps * (plan.recipe.train.batch_size or 1)


def differences(plans: Sequence[Plan], groups: Sequence[Group]) -> list[str]:
    """Keys of which each group has a value of its own, so that a base is loaded for each."""
    firsts = [_shared(plans[each.members[0]]) for each in groups]
    return sorted(key for key in firsts[0] if len({repr(first.get(key)) for first in firsts}) > 1)


def questions_that_differ(plans: Sequence[Plan], groups: Sequence[Group]) -> list[str]:
    """Keys by which groups are validated or scored on other rows than each other, or on texts cut otherwise."""
    asked = [_asked(plans[each.members[0]]) for each in groups]
    return sorted(key for key in asked[0] if len({repr(each.get(key)) for each in asked}) > 1)


def _asked(plan: Plan) -> Mapping[str, object]:
    recipe, data = plan.recipe.model_dump(mode="json"), plan.recipe.data
    keys = {
        f"{section}.{key}": value for section in ("task", "data") for key, value in recipe[section].items()
    }
    has_share = isinstance(data.valid, float) or isinstance(data.test, float)  # of the training rows
    for key in (*_OF_TRAINING_ALONE, *(() if has_share else _OF_SHARES)):
        keys.pop(key, None)
    return keys | {
        "model.base": (plan.config.model_type, plan.config.vocab_size) if plan.task.output == "text" else ""
    }


def _shared(plan: Plan) -> Mapping[str, Any]:
    """What all members of a group have in common, by key of the recipe."""
    recipe = plan.recipe.model_dump(mode="json")
    keys = {f"{section}.{key}": value for section in _OF_THE_BASE for key, value in recipe[section].items()}
    keys |= {f"train.{key}": recipe["train"][key] for key in _OF_THE_PASS}
    return keys | {"method.name": plan.method.name}


def _way(plans: Sequence[Plan]) -> tuple[Way, str]:
    """How they are trained, and why not together; "" where they are, or where there is only one."""
    if len(plans) == 1:
        return "apart", ""
    first = plans[0]
    if not first.method.low_rank:
        return (
            "apart",
            f"the method {first.method.name} trains more than adapters of low rank beside the base",
        )
    if first.recipe.train.parallel == "fsdp":
        return "apart", "the base is sharded over processes (train.parallel)"
    if first.recipe.train.compile:
        return "apart", "the graphs are of one run's adapter (train.compile)"
    if first.objective.reading != "packed":
        return "in turns", f"examples of this {first.config.model_type} do not share a row"
    if first.recipe.task.tokens:
        return "in turns", "rows of added tokens train, too"
    if any(plan.method.options().get("also_train") for plan in plans):
        return "in turns", "parts of the base train whole (method.also_train)"
    return "together", ""
