"""The objective of an adapter folder: nothing but the folder says how it is scored."""

from __future__ import annotations

from lorafit.adapters import Adapter, where_base
from lorafit.adapters.restore import method_of, model_config
from lorafit.models import family_of
from lorafit.objectives import AnyObjective, BaseFacts, Settings, objective_for
from lorafit.recipe import DataSection, EvalSection
from lorafit.tasks import Task


def objective_of(
    adapter: Adapter, task: Task, base: str | None, data: DataSection, evaluation: EvalSection
) -> AnyObjective:
    """The objective that the adapter was trained with, with other metrics and data where these are asked for.

    Raises RecipeError where they do not fit, NotFoundError where the base's config is not at hand.
    """
    where, revision = where_base(adapter, base)
    config = model_config(adapter, where, revision)
    facts = BaseFacts(config, family_of(config), method_of(adapter).num_positions)
    return objective_for(task, facts, Settings(data, adapter.card.decode, evaluation))
