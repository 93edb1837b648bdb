"""An adapter folder in use: its task, the objective that it was trained with, and its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lorafit.adapters import (
    Adapter,
    BaseChoice,
    bare_base,
    put_beside,
    read_adapter,
    restore,
    task_of,
    where_base,
)
from lorafit.adapters.restore import method_of, model_config
from lorafit.errors import ChangeArgument, RecipeError
from lorafit.models import Model, family_of
from lorafit.models.placement import Placement
from lorafit.objectives import AnyObjective, BaseFacts, Settings, objective_for
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.tasks import Task


@dataclass(frozen=True)
class LoadedOnce:
    """The base of several adapters, without any of them; the first use loads it."""

    adapter: Adapter
    base: BaseChoice

    @cached_property
    def model(self) -> Model:
        """The bare base."""
        return bare_base(self.adapter, base=self.base.base, force=self.base.force)


@dataclass(frozen=True)
class RestoredAdapter:
    """An adapter folder on a base, which it may share with others. Nothing but the folder decides how it predicts and
    is scored."""

    adapter: Adapter
    base: BaseChoice
    task: Task
    shared: LoadedOnce | None = None

    @staticmethod
    def of(folder: Path, base: BaseChoice) -> RestoredAdapter:
        """Read the folder. Raises AdapterError for a damaged one, NotFoundError where there is none."""
        adapter = read_adapter(folder)
        return RestoredAdapter(adapter, base, task_of(adapter))

    @property
    def where(self) -> tuple[str, str | None]:
        """Path or id of its base, and revision. Raises NotFoundError where it is not to be had."""
        return where_base(self.shared.adapter if self.shared else self.adapter, self.base.base)

    def objective(
        self,
        evaluation: EvalSection,
        data: DataSection | None = None,
        decode: DecodeSection | None = None,
    ) -> AnyObjective:
        """The objective that the adapter was trained with, with other metrics, data and search where these are given.
        Texts are decoded as many at a time as then, unless `evaluation` says how many.

        Raises RecipeError where they do not fit, NotFoundError where the base's config is missing.
        """
        card = self.adapter.card
        config = model_config(self.adapter, *self.where)
        facts = BaseFacts(config, family_of(config), method_of(self.adapter).num_positions)
        batch_size = {"batch_size": self.adapter.arithmetic.batch_size}
        section = EvalSection(**(batch_size | evaluation.model_dump(exclude_unset=True)))
        return objective_for(self.task, facts, Settings(data or card.data, decode or card.decode, section))

    @cached_property
    def model(self) -> Model:
        """The model as it was trained, on its device and in the number format of then; the first use loads it.

        Raises AdapterError where it does not fit the base, NotFoundError where the base is missing.
        """
        if self.shared is None:
            bare = restore(self.adapter, base=self.base.base, force=self.base.force)
        else:
            bare = put_beside(self.adapter, self.shared.model)
        model = replace(bare, placement=Placement.of(self.adapter.arithmetic.dtype))
        model.placement.place(model.net)
        return model


def restored_by_name(folders: Sequence[Path], base: BaseChoice) -> dict[str, RestoredAdapter]:
    """Adapters by the part of their paths in which they differ; a single one by "". Their base is loaded once.

    Raises RecipeError for adapters of different bases, tasks or number formats, and as `RestoredAdapter.of`.
    """
    every = [RestoredAdapter.of(folder, base) for folder in folders]
    if len(every) == 1:
        return {"": every[0]}
    first = every[0]
    for other in every[1:]:
        if fault := _difference(first, other):
            raise RecipeError(
                f"{other.adapter.folder}: {fault}; adapters that are used together have one base and one task",
                ChangeArgument("adapters"),
            )
    shared = LoadedOnce(first.adapter, base)
    return {name: replace(each, shared=shared) for name, each in zip(_names(folders), every, strict=True)}


_OF_SCORING = ("name", "metrics", "headline", "part", "score_on", "scorer", "class_weights", "train_on")


def _difference(one: RestoredAdapter, other: RestoredAdapter) -> str:
    """In what an adapter cannot be used beside another; "" where it can."""
    card, theirs = other.adapter.card.base, one.adapter.card.base
    pairs = ((card.config_hash, theirs.config_hash), (card.weights_hash, theirs.weights_hash))
    is_known = all(here and there for here, there in pairs)
    same = all(here == there for here, there in pairs) if is_known else card.id == theirs.id
    if not same and not (one.base.base and one.base.force):
        return f"was trained on the base {card.id}, and {one.adapter.folder} on {theirs.id}"
    options = [each.task.options() for each in (other, one)]
    for key in options[0]:
        here, there = (each.get(key) for each in options)
        if key not in _OF_SCORING and here != there:
            return f"its task has {key} {here!r}, and that of {one.adapter.folder} {there!r}"
    dtypes = [each.adapter.arithmetic.dtype for each in (other, one)]
    if dtypes[0] != dtypes[1]:
        return f"is computed in {dtypes[0]}, and {one.adapter.folder} in {dtypes[1]}"
    return ""


def _names(folders: Sequence[Path]) -> list[str]:
    """Paths without the parts with which all of them begin or end. Raises RecipeError for a folder given twice."""
    paths = [folder.resolve().parts for folder in folders]
    if len(set(paths)) < len(paths):
        twice = next(folder for folder, path in zip(folders, paths, strict=True) if paths.count(path) > 1)
        raise RecipeError(f"{twice}: is given twice", ChangeArgument("adapters"))
    while len({path[0] for path in paths}) == 1 and min(map(len, paths)) > 1:
        paths = [path[1:] for path in paths]
    while len({path[-1] for path in paths}) == 1 and min(map(len, paths)) > 1:
        paths = [path[:-1] for path in paths]
    return ["/".join(path) for path in paths]
