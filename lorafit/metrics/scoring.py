"""A whole scoring job: predictions against references, by the metrics of a scorer or by named ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from lorafit.errors import DataError, RecipeError, lookup
from lorafit.files import JsonObject
from lorafit.metrics import METRICS, Kind, Metric, Reads, Score, TextMetric
from lorafit.metrics.external import External, is_external
from lorafit.metrics.function import FunctionMetric, is_function
from lorafit.metrics.labels.report import LabelReport
from lorafit.metrics.scorers import Scorer

Figures = dict[str, float | None]
P = TypeVar("P")
R = TypeVar("R")

Views = Mapping[Reads, tuple[Sequence[Any], Sequence[Any]]]
"""Predictions and references as the metrics read them that do not compare the answers themselves."""

_FURTHER = (
    ", 'evaluate:NAME', a function of your own ('FILE.py:FUNCTION') and the path of a metric script (.py)"
)


@dataclass(frozen=True)
class Scores:
    """The figures of one scoring job, and how they came about."""

    parts: dict[str, Figures]  # "all", and each split where splits were given
    signatures: dict[str, str]
    reasons: dict[str, str] = field(default_factory=dict)  # of the figures that are None
    notes: tuple[str, ...] = ()
    report: LabelReport | None = None  # of tasks whose answers are labels

    @property
    def all(self) -> Figures:
        """The figures over everything."""
        return self.parts["all"]

    def joined(self, other: Scores) -> Scores:
        """These scores and then others of the same parts."""
        return Scores(
            {part: {**scores, **other.parts.get(part, {})} for part, scores in self.parts.items()},
            {**self.signatures, **other.signatures},
            {**self.reasons, **other.reasons},
            (*self.notes, *other.notes),
        )

    def to_json(self) -> JsonObject:
        """{"scores", "signatures", "reasons", "notes"}; the scores by split where there are splits; and the report."""
        scores = self.parts if len(self.parts) > 1 else self.all
        return {
            "scores": scores,
            "signatures": self.signatures,
            "reasons": self.reasons,
            "notes": list(self.notes),
            **(self.report.to_json() if self.report is not None else {}),
        }


def find_metric(name: str, kind: Kind) -> Metric[Any, Any]:
    """The metric of that name: of `METRICS`, of evaluate ("evaluate:bertscore", "my/metric.py"), or a function
    ("my/metrics.py:overlap").

    Raises:
        RecipeError: there is none, or it compares something else than `kind`.
        NotFoundError: the file of a function is not there.
    """
    if is_function(name):
        function = FunctionMetric(name, kind)
        function.check()
        return function
    if is_external(name):
        return External(name, kind)
    metric = lookup(METRICS, name, "metric", more=_FURTHER)
    if kind not in (metric.kind, *metric.also):
        raise RecipeError(f"metric {name!r} compares {metric.kind}s, and the task's predictions are {kind}s")
    return metric


def text_metrics(scorer: Scorer, names: Sequence[str] | None = None) -> list[TextMetric]:
    """The scorer's metrics, or those that give the scores of these names, each once.

    A name means the scorer's own way to compute that score where it has one ("bleu"), else an entry of `METRICS`.

    Raises:
        RecipeError: no such metric.
    """
    own = [find_metric(name, "text") for name in scorer.metrics]
    if names is None:
        return own
    own_keys = {key: metric for metric in own for key in metric.keys}
    texts = [metric for metric in METRICS.values() if metric.kind == "text"]
    known = own_keys | {key: metric for metric in texts for key in metric.keys if key not in own_keys}

    def named(name: str) -> TextMetric:
        if name not in own_keys and (is_function(name) or is_external(name) or name in METRICS):
            return find_metric(name, "text")
        return lookup(known, name, "metric", more=_FURTHER)

    return list(dict.fromkeys(named(name) for name in names))


def missing_metrics(metrics: Iterable[Metric[Any, Any]]) -> dict[str, str]:
    """Score -> what to install, for each of these metrics that cannot be computed here. For before a long decoding.

    Raises:
        NotFoundError: a metric of the evaluate library, or a function of one's own, that cannot be loaded: it is wanted
            by name, so nothing else will do.
    """
    missing: dict[str, str] = {}
    for metric in metrics:
        if is_function(metric.name):
            FunctionMetric(metric.name, metric.kind).load()
        elif is_external(metric.name):
            External(metric.name, metric.kind).load()
        if reason := metric.unavailable():
            missing |= dict.fromkeys(metric.keys, reason)
    return missing


def score_texts(
    scorer: Scorer,
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    evidence: Sequence[Sequence[float]] | None = None,
) -> Scores:
    """Scores texts as a scorer does.

    `references` are groups, one for each prediction; an empty string is a missing reference. `metrics` asks
    for some of the scorer's scores ("bleu"), other entries of `METRICS`, or metrics of the evaluate library.
    `splits` gives each prediction a label ("seen"), and every label gets scores of its own beside "all". `evidence`:
    how likely the references are to the model, where a metric asks for it (see `Perplexity`).

    Raises:
        RecipeError: no such metric.
        DataError: nothing to score, lengths that differ, or a prediction without any reference.
    """
    wanted = text_metrics(scorer, metrics)
    _check(predictions, references, splits)
    hypotheses = [scorer.prepare(text) for text in predictions]
    groups = scorer.lay_out(references)
    views: Views = {} if evidence is None else {"evidence": (evidence, groups)}
    scores = score_by(wanted, hypotheses, groups, splits=splits, names=metrics, views=views)
    return replace(scores, notes=_notes(scorer, references))


def score_by(
    metrics: Iterable[Metric[P, R]],
    predictions: Sequence[P],
    references: Sequence[R],
    *,
    splits: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    views: Views | None = None,
) -> Scores:
    """The scores of these metrics, over everything and over each split; an example may be in no split ("").

    `names`: of a metric with several scores, only those of these names.
    """
    parts: dict[str, Sequence[int]] = {"all": range(len(predictions))}
    for label in sorted({*(splits or ())} - {""}):
        parts[label] = [i for i, other in enumerate(splits or ()) if other == label]
    found: dict[str, dict[str, Score]] = {part: {} for part in parts}
    for metric in metrics:
        given = (views or {}).get(metric.reads, (predictions, references))
        if metric.reads == "evidence" and given[0] is predictions:
            scores_of = _without_evidence(metric, parts)
        else:
            scores_of = metric.compute_parts(*given, parts)
        for part, scores in scores_of.items():
            found[part] |= {score.name: score for score in scores if _is_asked(score.name, metric, names)}
    return Scores(
        parts={part: {name: score.value for name, score in scores.items()} for part, scores in found.items()},
        signatures={name: score.signature for name, score in found["all"].items()},
        reasons={
            name: s.reason for scores in found.values() for name, s in scores.items() if s.value is None
        },
    )


def _without_evidence(metric: Metric[P, R], parts: Iterable[str]) -> dict[str, list[Score]]:
    reason = "it needs what stands behind the answers, and the answers are all there is"
    return {part: [Score(key, None, "", reason) for key in metric.keys] for part in parts}


def _is_asked(score: str, metric: Metric[P, R], names: Sequence[str] | None) -> bool:
    """Whether to keep one score of a metric that may give several."""
    return names is None or score in names or metric.name in names or not set(metric.keys) & set(names)


def _check(
    predictions: Sequence[str], references: Sequence[Sequence[str]], splits: Sequence[str] | None
) -> None:
    if not predictions:
        raise DataError("there are no predictions to score")
    if len(references) != len(predictions):
        raise DataError(f"{len(predictions)} predictions, but references for {len(references)}")
    if splits is not None and len(splits) != len(predictions):
        raise DataError(f"{len(predictions)} predictions, but {len(splits)} split labels")
    for number, group in enumerate(references, start=1):
        if not any(text.strip() for text in group):
            raise DataError(f"prediction {number} has no reference: every one of its {len(group)} is empty")


def _notes(scorer: Scorer, references: Sequence[Sequence[str]]) -> tuple[str, ...]:
    most = max(map(len, references))
    notes = [scorer.note] if scorer.note else []
    if scorer.num_references and most > scorer.num_references:
        notes.append(
            f"the first {scorer.num_references} references of up to {most}, as {scorer.title} takes them"
        )
    return tuple(notes)
