"""The tasks by kind, and what a name in `[task]` stands for: one of them, or a preset of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from lorafit.data.places import Layout, OwnFiles
from lorafit.recipe import DataSection
from lorafit.tasks.base import Task
from lorafit.tasks.chat import Chat
from lorafit.tasks.classification import Classification
from lorafit.tasks.generation import Generation
from lorafit.tasks.labels import LabelTask
from lorafit.tasks.multilabel import MultiLabel
from lorafit.tasks.presets import PRESETS
from lorafit.tasks.regression import Regression
from lorafit.tasks.text import Text

TASKS: dict[str, type[Task]] = {
    task.kind: task for task in (Classification, MultiLabel, Regression, Generation, Chat, Text)
}

SECTIONS: dict[str, type[Task]] = TASKS | {name: TASKS[preset.kind] for name, preset in PRESETS.items()}
"""The class that holds the keys of `[task]`, by its `name`."""

DEFAULTS: dict[str, Mapping[str, Mapping[str, Any]]] = {
    **{
        kind: {"train": {"batch_order": "bucketed"}}
        for kind, task in TASKS.items()
        if issubclass(task, LabelTask)
    },
    **{name: {"task": preset.task, "data": preset.data} for name, preset in PRESETS.items()},
}
"""What lies under a recipe, by the name of the task: section -> key -> value. The paper's tasks keep its order."""


def make_task(name: str, **options: Any) -> Task:
    """The task that a recipe with this name and these keys in `[task]` means."""
    return SECTIONS[name].model_validate({"name": name, **DEFAULTS.get(name, {}).get("task", {}), **options})


def make_data(name: str, **keys: Any) -> DataSection:
    """`[data]` of a recipe with this name in `[task]` and these keys."""
    return DataSection.model_validate({**DEFAULTS.get(name, {}).get("data", {}), **keys})


def read_task(options: Mapping[str, Any]) -> Task:
    """The task that `Task.options` wrote. Raises ValueError that names the key for anything else."""
    fields = dict(options)
    kind = fields.pop("kind", None)
    if not isinstance(kind, str) or kind not in TASKS:
        raise ValueError(f"task.kind: {kind!r} is none of {', '.join(TASKS)}")
    try:
        return TASKS[kind].model_validate_json(json.dumps(fields))
    except ValidationError as error:
        detail = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, ('task', *detail['loc'])))}: {detail['msg']}") from None


def layout_of(name: str) -> Layout:
    """How the data of the task of that name lie in a folder."""
    return PRESETS[name].layout if name in PRESETS else OwnFiles()
