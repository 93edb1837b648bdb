"""Answers of any system against the right ones, as a task scores them: in training, in `eval` and in `score`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lorafit.data.rows import Label
from lorafit.metrics.labels.report import label_report
from lorafit.metrics.scorers import Scorer
from lorafit.metrics.scoring import Scores, Views, score_by, score_texts
from lorafit.tasks.generation import ReferenceGroup
from lorafit.tasks.labels import LabelTask


def score_groups(
    scorer: Scorer,
    answers: Sequence[str],
    groups: Sequence[ReferenceGroup],
    metrics: Sequence[str] | None,
    evidence: Sequence[Sequence[float]] | None = None,
) -> Scores:
    """One text a group, over the whole split and over its parts where it has them.

    `evidence`: how likely the references of each group are to the model, where a metric asks for it. A text whose every
    reference is empty is left out, and a note says so: hours of decoding must not be lost.
    """
    behind = [()] * len(answers) if evidence is None else evidence
    given = zip(answers, groups, behind, strict=True)
    scored = [each for each in given if _has_reference(each[1])]
    parts = [group.part for _, group, _ in scored]
    scores = score_texts(
        scorer,
        [answer for answer, _, _ in scored],
        [group.references for _, group, _ in scored],
        metrics=metrics,
        splits=parts if any(parts) else None,
        evidence=None if evidence is None else [each for _, _, each in scored],
    )
    if num_left_out := len(answers) - len(scored):
        note = f"{num_left_out} of {len(answers)} texts have no reference but empty ones and are not scored"
        return replace(scores, notes=(*scores.notes, note))
    return scores


def score_labels(
    task: LabelTask,
    answers: Sequence[Label],
    labels: Sequence[Label | None],
    parts: Sequence[str],
    metrics: Sequence[str] | None,
    evidence: Sequence[Sequence[float]] | None = None,
) -> Scores:
    """The task's metrics, or those named, over all rows and over each part. Without labels there are no scores.

    `evidence`: the probability of each class, for every answer.
    """
    known = [(index, label) for index, label in enumerate(labels) if label is not None]
    if not known:
        return Scores({"all": {}}, {}, notes=("this split has no labels, so nothing is scored",))
    given, right = [answers[index] for index, _ in known], [label for _, label in known]
    plain_given, plain_right = ([_plain(task, label) for label in side] for side in (given, right))
    views: Views = {"name": ([*map(task.label_text, given)], [*map(task.label_text, right)])}
    if evidence is not None:
        views = {**views, "evidence": ([evidence[index] for index, _ in known], plain_right)}
    found = task.find_metrics(metrics)
    scores = score_by(
        found, plain_given, plain_right, splits=[parts[index] for index, _ in known], views=views
    )
    if task.labels is not None:
        scores = replace(scores, report=label_report(plain_given, plain_right, task.labels))
    if num_unknown := len(labels) - len(known):
        note = f"{num_unknown:,} of {len(labels):,} rows have no label, and are not scored"
        return replace(scores, notes=(*scores.notes, note))
    return scores


def _plain(task: LabelTask, label: Label) -> Label:
    """A label as metrics compare it: the number of a class is an int."""
    match label:
        case tuple():
            return label
    return int(label) if task.labels else float(label)


def _has_reference(group: ReferenceGroup) -> bool:
    return any(text.strip() for text in group.references)
