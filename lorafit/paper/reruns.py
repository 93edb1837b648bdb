"""What others got who ran the public code again: between the paper's figure and a wrong one there may be a band."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_ADAMIX = "arXiv 2205.12410 (AdaMix), LoRA (repr.)"
_NO_START = "without the start from MNLI"
_OTHER_TASKS = "arXiv 2310.17513, r = 2"


@dataclass(frozen=True)
class Rerun:
    """A published figure of somebody else's run, on the table's scale. `setting`: what was not as in the paper."""

    value: float
    source: str
    setting: str = ""


RERUNS: Mapping[tuple[str, str, str, str], tuple[Rerun, ...]] = {
    ("3", "GPT-2 M (LoRA)", "e2e", "bleu"): (
        Rerun(68.65, "github.com/microsoft/LoRA issue 165"),
        Rerun(68.85, "github.com/microsoft/LoRA issue 165"),
        Rerun(68.87, "github.com/microsoft/LoRA issue 165"),
        Rerun(68.9, "arXiv 2402.02347"),
        Rerun(69.8, _ADAMIX),
    ),
    ("13", "GPT-2 M (LoRA)", "dart", "bleu"): (Rerun(47.35, _ADAMIX),),
    ("14", "GPT-2 M (LoRA)", "webnlg", "all.bleu"): (Rerun(55.37, _ADAMIX),),
    ("2", "RoBERTa base (LoRA)", "rte", "accuracy"): (Rerun(78.0, _OTHER_TASKS, _NO_START),),
    ("2", "RoBERTa base (LoRA)", "stsb", "pearson"): (Rerun(90.7, _OTHER_TASKS, _NO_START),),
    ("2", "RoBERTa base (LoRA)", "mrpc", "accuracy"): (Rerun(89.2, _OTHER_TASKS, _NO_START),),
    ("2", "RoBERTa base (LoRA)", "cola", "matthews"): (Rerun(63.2, _OTHER_TASKS),),
}
"""(table, row, task, score) -> the figures of others."""

WARNINGS: Mapping[tuple[str, str, str], str] = {
    ("2", "RoBERTa large (LoRA)", "cola"): (
        "with a total batch of 4, a learning rate of 3e-4 collapses to a Matthews correlation of 0"
    ),
}
"""(table, row, task) -> what others found out about it."""
