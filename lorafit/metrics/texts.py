"""A whole scoring job: texts against groups of references, as a task's scorer does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorafit.errors import NotFoundError, RecipeError, did_you_mean
from lorafit.metrics.external import External, is_external
from lorafit.metrics.protocols import PROTOCOLS, Protocol, find_protocol, lay_out
from lorafit.metrics.registry import METRICS, find_metric
from lorafit.metrics.score import Metric, Score

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Scores:
    """The figures of one scoring job, and how they came about."""

    parts: dict[str, Figures]  # "all", and each split where splits were given
    signatures: dict[str, str]
    reasons: dict[str, str] = field(default_factory=dict)  # of the figures that are None
    notes: tuple[str, ...] = ()

    @property
    def all(self) -> Figures:
        """The figures over everything."""
        return self.parts["all"]

    def to_json(self) -> dict[str, Any]:
        """{"scores", "signatures", "reasons", "notes"}; the scores by split where there are splits."""
        scores = self.parts if len(self.parts) > 1 else self.all
        return {
            "scores": scores,
            "signatures": self.signatures,
            "reasons": self.reasons,
            "notes": list(self.notes),
        }


def score_texts(
    task: str,
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    protocol: str = "official",
    metrics: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
) -> Scores:
    """Scores predictions as a task's scorer does.

    `references` are groups, one for each prediction; an empty string is a missing reference. `metrics` asks
    for some of the task's scores ("bleu"), other entries of `METRICS`, or metrics of the evaluate library.
    `splits` gives each prediction a label ("seen"), and every label gets scores of its own beside "all".

    Raises:
        RecipeError: no such task, protocol or metric.
        NotFoundError: nothing to score, lengths that differ, or a prediction without any reference.
    """
    scorer = find_protocol(task, protocol)
    wanted = text_metrics(task, protocol, metrics)
    _check(predictions, references, splits)
    hypotheses = [scorer.prepare(text) for text in predictions]
    groups = lay_out(scorer, references)
    parts = _parts(len(predictions), splits)

    found: dict[str, dict[str, Score]] = {part: {} for part in parts}
    for metric in wanted:
        for part, scores in metric.compute_parts(hypotheses, groups, parts).items():
            found[part].update(
                {score.name: score for score in scores if _is_asked(score.name, metric, metrics)}
            )
    return _scores(found, _notes(scorer, references))


def text_metrics(task: str, protocol: str = "official", names: Sequence[str] | None = None) -> list[Metric]:
    """The metrics of a task's scorer, or those that give the scores of these names, each once.

    Ask each for `unavailable()` before a long decoding begins.

    Raises:
        RecipeError: no such task, protocol or metric.
    """
    own = [METRICS[name] for name in find_protocol(task, protocol).metrics]
    if names is None:
        return own
    by_key = {key: metric for metric in own for key in metric.keys}
    return list(dict.fromkeys(by_key.get(name) or _further_metric(name, by_key) for name in names))


def check_metric_names(task: str, names: Sequence[str] | None) -> None:
    """Whether a task can be scored by metrics of these names (None: its own).

    Raises:
        RecipeError: no such metric, or it compares something else than the task's predictions.
    """
    if is_text_task(task):
        text_metrics(task, names=names)
        return
    for name in names or ():
        _metric_of_labels(name)


def missing_metrics(task: str, names: Sequence[str] | None) -> dict[str, str]:
    """Score -> what to install, for each of a task's metrics (None: its own) that cannot be computed here.

    Raises:
        NotFoundError: a metric of the evaluate library that cannot be loaded: it is wanted by name, so nothing else
            will do.
    """
    wanted = (
        text_metrics(task, "paper", names) if is_text_task(task) else [*map(_metric_of_labels, names or ())]
    )
    for metric in wanted:
        if isinstance(metric, External):
            metric.load()
    return {key: reason for metric in wanted if (reason := metric.unavailable()) for key in metric.keys}


def is_text_task(task: str) -> bool:
    """Whether a task's predictions are texts."""
    return any(task == text_task for text_task, _ in PROTOCOLS)


def _metric_of_labels(name: str) -> Metric:
    kind = METRICS[name].kind if name in METRICS else "label"
    return find_metric(name, "label" if kind == "text" else kind)


def _further_metric(name: str, by_key: Mapping[str, Metric]) -> Metric:
    """A metric that the task's scorer does not have: one that gives a score of that name, or is called so."""
    if is_external(name) or name in METRICS:
        return find_metric(name, "text")
    keys = {key: metric for metric in METRICS.values() if metric.kind == "text" for key in metric.keys}
    if name in keys:
        return keys[name]
    known = [*by_key, *(k for k in keys if k not in by_key)]
    raise RecipeError(
        f"no metric {name!r}{did_you_mean(name, known)} "
        f"(there are {', '.join(known)}, evaluate:NAME, path/to/metric.py)"
    )


def _is_asked(score: str, metric: Metric, names: Sequence[str] | None) -> bool:
    """Whether to keep one score of a metric that may give several."""
    return names is None or score in names or metric.name in names or not set(metric.keys) & set(names)


def _check(
    predictions: Sequence[str], references: Sequence[Sequence[str]], splits: Sequence[str] | None
) -> None:
    if not predictions:
        raise NotFoundError("there are no predictions to score")
    if len(references) != len(predictions):
        raise NotFoundError(f"{len(predictions)} predictions, but references for {len(references)}")
    if splits is not None and len(splits) != len(predictions):
        raise NotFoundError(f"{len(predictions)} predictions, but {len(splits)} split labels")
    for number, group in enumerate(references, start=1):
        if not any(text.strip() for text in group):
            raise NotFoundError(
                f"prediction {number} has no reference: every one of its {len(group)} is empty"
            )


def _parts(num_predictions: int, splits: Sequence[str] | None) -> dict[str, Sequence[int]]:
    parts: dict[str, Sequence[int]] = {"all": range(num_predictions)}
    for label in sorted(set(splits or ())):
        parts[label] = [i for i, other in enumerate(splits or ()) if other == label]
    return parts


def _notes(scorer: Protocol, references: Sequence[Sequence[str]]) -> tuple[str, ...]:
    most = max(map(len, references))
    notes = [scorer.note] if scorer.note else []
    if scorer.num_references and most > scorer.num_references:
        notes.append(
            f"the first {scorer.num_references} references of up to {most}, as {scorer.scorer} takes them"
        )
    return tuple(notes)


def _scores(found: Mapping[str, Mapping[str, Score]], notes: tuple[str, ...]) -> Scores:
    return Scores(
        parts={part: {name: score.value for name, score in scores.items()} for part, scores in found.items()},
        signatures={name: score.signature for name, score in found["all"].items()},
        reasons={
            name: s.reason for scores in found.values() for name, s in scores.items() if s.value is None
        },
        notes=notes,
    )
