"""Answers of any system against the right ones, as a task scores them: in training, in `eval` and in `score`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lorafit.metrics.scorers import Scorer
from lorafit.metrics.scoring import Scores, score_by, score_texts
from lorafit.tasks.generation import ReferenceGroup
from lorafit.tasks.labels import LabelTask


def score_groups(
    scorer: Scorer, answers: Sequence[str], groups: Sequence[ReferenceGroup], metrics: Sequence[str] | None
) -> Scores:
    """One text a group, over the whole split and over its parts where it has them.

    A text whose every reference is empty is left out, and a note says so: hours of decoding must not be lost.
    """
    scored = [(answer, group) for answer, group in zip(answers, groups, strict=True) if _has_reference(group)]
    parts = [group.part for _, group in scored]
    scores = score_texts(
        scorer,
        [answer for answer, _ in scored],
        [group.references for _, group in scored],
        metrics=metrics,
        splits=parts if any(parts) else None,
    )
    if num_left_out := len(answers) - len(scored):
        note = f"{num_left_out} of {len(answers)} texts have no reference but empty ones and are not scored"
        return replace(scores, notes=(*scores.notes, note))
    return scores


def score_labels(
    task: LabelTask,
    answers: Sequence[float],
    labels: Sequence[float | None],
    parts: Sequence[str],
    metrics: Sequence[str] | None,
) -> Scores:
    """The task's metrics, or those named, over all rows and over each part. Without labels there are no scores."""
    known = [
        (answer, label, part)
        for answer, label, part in zip(answers, labels, parts, strict=True)
        if label is not None
    ]
    if not known:
        return Scores({"all": {}}, {}, notes=("this split has no labels, so nothing is scored",))
    as_kind = int if task.labels else float
    scores = score_by(
        task.find_metrics(metrics),
        [as_kind(answer) for answer, _, _ in known],
        [as_kind(label) for _, label, _ in known],
        splits=[part for _, _, part in known],
    )
    if num_unknown := len(labels) - len(known):
        note = f"{num_unknown:,} of {len(labels):,} rows have no label, and are not scored"
        return replace(scores, notes=(*scores.notes, note))
    return scores


def _has_reference(group: ReferenceGroup) -> bool:
    return any(text.strip() for text in group.references)
