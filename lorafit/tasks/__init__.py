"""Tasks: what rows mean, what is learned of them, how it is scored. TASKS has the general ones, PRESETS the paper's.

To add a task, write its file, and its class into TASKS.
"""

from lorafit.tasks.base import Answer, Task
from lorafit.tasks.chat import Chat
from lorafit.tasks.chat_templates import TEMPLATES, template_text, template_tokens
from lorafit.tasks.classes import ClassTask
from lorafit.tasks.classification import Classification
from lorafit.tasks.generation import Generation, ReferenceGroup, group_references
from lorafit.tasks.labels import LabelTask
from lorafit.tasks.load import Rows, input_rows, load_rows
from lorafit.tasks.multilabel import MultiLabel
from lorafit.tasks.presets import PRESETS, Preset, Submission
from lorafit.tasks.registry import DEFAULTS, SECTIONS, TASKS, make_data, make_task, read_task
from lorafit.tasks.regression import Regression
from lorafit.tasks.submission import submission_files
from lorafit.tasks.text import Text

__all__ = [
    "DEFAULTS",
    "PRESETS",
    "SECTIONS",
    "TASKS",
    "TEMPLATES",
    "Answer",
    "Chat",
    "ClassTask",
    "Classification",
    "Generation",
    "LabelTask",
    "MultiLabel",
    "Preset",
    "ReferenceGroup",
    "Regression",
    "Rows",
    "Submission",
    "Task",
    "Text",
    "group_references",
    "input_rows",
    "load_rows",
    "make_data",
    "make_task",
    "read_task",
    "submission_files",
    "template_text",
    "template_tokens",
]
