"""An adapter folder in use: its task, the objective that it was trained with, and its model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lorafit.adapters import Adapter, BaseChoice, read_adapter, restore, task_of, where_base
from lorafit.adapters.restore import method_of, model_config
from lorafit.models import Model, family_of
from lorafit.models.placement import Placement
from lorafit.objectives import AnyObjective, BaseFacts, Settings, objective_for
from lorafit.recipe import DataSection, EvalSection
from lorafit.tasks import Task


@dataclass(frozen=True)
class RestoredAdapter:
    """An adapter folder on a base. Nothing but the folder decides how it predicts and is scored."""

    adapter: Adapter
    base: BaseChoice
    task: Task

    @staticmethod
    def of(folder: Path, base: BaseChoice) -> RestoredAdapter:
        """Read the folder. Raises AdapterError for a damaged one, NotFoundError where there is none."""
        adapter = read_adapter(folder)
        return RestoredAdapter(adapter, base, task_of(adapter))

    def objective(self, evaluation: EvalSection, data: DataSection | None = None) -> AnyObjective:
        """The objective that the adapter was trained with, with other metrics and data where these are given. Texts
        are decoded as many at a time as then, unless `evaluation` says how many.

        Raises RecipeError where they do not fit, NotFoundError where the base's config is missing.
        """
        card = self.adapter.card
        where, revision = where_base(self.adapter, self.base.base)
        config = model_config(self.adapter, where, revision)
        facts = BaseFacts(config, family_of(config), method_of(self.adapter).num_positions)
        batch_size = {"batch_size": self.adapter.arithmetic.batch_size}
        section = EvalSection(**(batch_size | evaluation.model_dump(exclude_unset=True)))
        return objective_for(self.task, facts, Settings(data or card.data, card.decode, section))

    @cached_property
    def model(self) -> Model:
        """The model as it was trained, on its device and in the number format of then; the first use loads it.

        Raises AdapterError where it does not fit the base, NotFoundError where the base is missing.
        """
        bare = restore(self.adapter, base=self.base.base, force=self.base.force)
        model = replace(bare, placement=Placement.of(self.adapter.arithmetic.dtype))
        model.placement.place(model.net)
        return model
