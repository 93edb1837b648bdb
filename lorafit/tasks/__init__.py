"""Tasks, one file a family. To add one: write its file, and its value into TASKS."""

from lorafit.errors import lookup
from lorafit.tasks.base import GenerationTask, ReferenceGroup, Task, group_references
from lorafit.tasks.dart import DART_TASK
from lorafit.tasks.e2e import E2E_TASK
from lorafit.tasks.glue import GLUE_TASKS, Glue, glue_submission
from lorafit.tasks.labels import LabelTask
from lorafit.tasks.webnlg import WEBNLG_TASK

TASKS: dict[str, Task] = {task.name: task for task in (E2E_TASK, DART_TASK, WEBNLG_TASK, *GLUE_TASKS)}

__all__ = [
    "TASKS",
    "GenerationTask",
    "Glue",
    "LabelTask",
    "ReferenceGroup",
    "Task",
    "find_task",
    "glue_submission",
    "group_references",
]


def find_task(name: str, where: str = "[task] name") -> Task:
    """The task of that name. Raises RecipeError when there is none."""
    return lookup(TASKS, name, "task", where=where)
