"""Two systems' predictions for the same examples: where they differ, and whether the difference means anything."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafit.errors import DataError
from lorafit.files import JsonObject
from lorafit.metrics import METRICS, Kind, Metric
from lorafit.metrics.scorers import Scorer
from lorafit.metrics.scoring import text_metrics
from lorafit.metrics.significance import Difference

Prediction = JsonObject

_SCORES: dict[Kind, tuple[str, ...]] = {
    "text": ("bleu", "chrf"),
    "label": ("accuracy", "matthews"),
    "labels": ("subset_accuracy", "micro_f1"),
    "score": ("pearson", "spearman"),
}
"""The scores that two systems are compared by, each by the test that the metric brings."""
_SINGLE: dict[Kind, str] = {"text": "chrf", "label": "accuracy", "labels": "subset_accuracy", "score": "mae"}
"""The metric that says which of two systems does better on an example."""


@dataclass(frozen=True)
class ExampleDifference:
    """An example on which the two differ; `gain` is how much better B does, on the scale of `measure`."""

    index: int
    gain: float
    input: Any
    a: Any
    b: Any
    expected: Any


@dataclass(frozen=True)
class Comparison:
    """The result. `examples` are those that differ, the greatest differences first; `measure` is theirs.

    `num_examples` are those that could be compared: a text without any reference is left out, as it is not scored.
    """

    kind: Kind
    num_examples: int
    num_left_out: int
    num_better: int
    num_worse: int
    num_same: int
    measure: str
    differences: tuple[Difference, ...]
    examples: tuple[ExampleDifference, ...]


@dataclass(frozen=True)
class Interval:
    """A score of all examples, and between which values it lies with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Of the scores that two systems are compared by, each under its name."""

    by_name: dict[str, Interval]
    num_examples: int
    num_samples: int


_MOST_DRAWN = 4_000_000  # examples of all samples together: some seconds for the slowest score
_FEWEST_SAMPLES = 200


def intervals(
    predictions: Sequence[Prediction], scorer: Scorer, names: Collection[str], *, num_samples: int = 1000
) -> Intervals:
    """How sure each score of one system is, by the bootstrap; fewer samples of very many examples.

    Of `names` those are given that two systems are compared by; none where no text has a reference. Raises DataError
    where examples have no labels.
    """
    from lorafit.metrics.significance import bootstrap, everything, mean_of

    kind = _kind(predictions[0])
    scored = [line for line in predictions if kind != "text" or any(map(str.strip, line["references"]))]
    if not scored:
        return Intervals({}, 0, 0)
    metrics, answers, _, right = _as_compared(kind, scored, scored, scorer)
    num_samples = max(min(num_samples, _MOST_DRAWN // len(scored)), _FEWEST_SAMPLES)
    found = {}
    for metric in metrics:
        if metric.keys[0] not in names:
            continue
        # The mean over examples is the score itself, and is drawn in a moment.
        score = (
            mean_of(metric.per_example(answers, right))
            if metric.right_or_wrong
            else metric.resample(answers, right)
        )
        low, high = bootstrap(score, len(scored), num_samples=num_samples)
        found[metric.keys[0]] = Interval(score(everything(len(scored))), low, high)
    return Intervals(found, len(scored), num_samples)


def example_values(predictions: Sequence[Prediction], scorer: Scorer) -> tuple[str, bool, list[float]]:
    """The value of every example by the measure that tells two systems apart: (its name, whether more is better, the
    values).

    Raises DataError where examples have no labels or references.
    """
    kind = _kind(predictions[0])
    _, answers, _, right = _as_compared(kind, predictions, predictions, scorer)
    single = METRICS[_SINGLE[kind]]
    return single.name, single.higher_is_better, single.per_example(answers, right)


def read_predictions(path: Path) -> list[Prediction]:
    """A file of predictions as a run writes it. Raises DataError that names file and line."""
    lines = []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{number}: not valid JSON: {error.msg}") from None
        if not isinstance(value, dict) or "prediction" not in value:
            raise DataError(f"{path}:{number}: not a prediction: an object with 'prediction' is expected")
        lines.append(value)
    if not lines:
        raise DataError(f"{path}: is empty")
    return lines


def compare_predictions(
    a: Sequence[Prediction], b: Sequence[Prediction], scorer: Scorer, *, num_samples: int = 1000
) -> Comparison:
    """Compare predictions for the same examples, in the same order; texts as `scorer` prepares them.

    Raises DataError where the examples are not the same ones, or have no labels or references.
    """
    num_all = len(a)
    kind, indices, a, b = _paired(a, b)
    metrics, one, other, references = _as_compared(kind, a, b, scorer)
    differences = [metric.compare(one, other, references, num_samples) for metric in metrics]

    single = METRICS[_SINGLE[kind]]
    before, after = (single.per_example(side, references) for side in (one, other))
    sign = 1 if single.higher_is_better else -1
    gains = [sign * (y - x) for x, y in zip(before, after, strict=True)]
    order = sorted((i for i, gain in enumerate(gains) if gain), key=lambda i: -abs(gains[i]))
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return Comparison(
        kind=kind,
        num_examples=len(a),
        num_left_out=num_all - len(a),
        num_better=better,
        num_worse=worse,
        num_same=len(a) - better - worse,
        measure=single.measure,
        differences=tuple(differences),
        examples=tuple(_example(indices[i], gains[i], a[i], b[i]) for i in order),
    )


def difference(
    a: Sequence[Prediction], b: Sequence[Prediction], scorer: Scorer, name: str, *, num_samples: int = 1000
) -> Difference:
    """That of one score alone: the one of that name, or, where two systems are not compared by it, the first one.

    Raises DataError as `compare_predictions`.
    """
    kind, _, a, b = _paired(a, b)
    metrics, one, other, references = _as_compared(kind, a, b, scorer)
    metric = next((metric for metric in metrics if name in metric.keys), metrics[0])
    return metric.compare(one, other, references, num_samples)


def _paired(
    a: Sequence[Prediction], b: Sequence[Prediction]
) -> tuple[Kind, list[int], list[Prediction], list[Prediction]]:
    """What the examples are, and those that can be compared: their positions, and both sides."""
    _check_same_examples(a, b)
    kind = _kind(a[0])
    indices = [i for i, line in enumerate(a) if kind != "text" or any(map(str.strip, line["references"]))]
    if not indices:
        raise DataError("no text has a reference, so neither run can be called better")
    return kind, indices, [a[i] for i in indices], [b[i] for i in indices]


def _as_compared(
    kind: Kind, a: Sequence[Prediction], b: Sequence[Prediction], scorer: Scorer
) -> tuple[Sequence[Metric[Any, Any]], list[Any], list[Any], list[Any]]:
    """The metrics, and the answers of both and what is right as they compare them."""
    names, one, other = _SCORES[kind], *([line["prediction"] for line in side] for side in (a, b))
    if kind == "text":
        references = scorer.lay_out([line["references"] for line in a])
        one, other = ([scorer.prepare(text) for text in side] for side in (one, other))
        return text_metrics(scorer, names), one, other, references
    right = [_label(line, number) for number, line in enumerate(a, start=1)]
    if kind == "labels":
        return [METRICS[name] for name in names], *_as_flags(one, other, right)
    metrics = [METRICS[name] for name in names if name != "matthews" or len(set(right)) == 2]
    return metrics, one, other, right


def _check_same_examples(a: Sequence[Prediction], b: Sequence[Prediction]) -> None:
    if len(a) != len(b):
        raise DataError(
            f"the runs predict {len(a)} and {len(b)} examples, so they cannot be compared pairwise"
        )
    for number, (one, other) in enumerate(zip(a, b, strict=True), start=1):
        for key in ("input", "references", "label"):
            if one.get(key) != other.get(key):
                raise DataError(f"prediction {number}: the runs have different examples there ({key})")


def _kind(line: Prediction) -> Kind:
    if "references" in line:
        return "text"
    match line["prediction"]:
        case float():
            return "score"
        case list():
            return "labels"
    return "label"


def _label(line: Prediction, number: int) -> Any:
    label = line.get("label")
    if label is None:
        raise DataError(f"prediction {number} has no label, so neither run can be called better there")
    return label


def _as_flags(
    one: Sequence[Sequence[str]], other: Sequence[Sequence[str]], right: Sequence[Sequence[str]]
) -> tuple[list[Any], list[Any], list[Any]]:
    """Lists of names as 1 or 0 for each name that occurs."""
    names = sorted({name for side in (one, other, right) for line in side for name in line})

    def flags(side: Sequence[Sequence[str]]) -> list[Any]:
        return [tuple(int(name in line) for name in names) for line in side]

    return flags(one), flags(other), flags(right)


def _example(index: int, gain: float, a: Prediction, b: Prediction) -> ExampleDifference:
    expected = a.get("references", a.get("label"))
    return ExampleDifference(index, gain, a.get("input"), a["prediction"], b["prediction"], expected)
