"""Two systems' predictions for the same examples: where they differ, and whether the difference means anything."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lorafit.errors import NotFoundError
from lorafit.metrics.bleu import Bleu, by_position
from lorafit.metrics.protocols import PROTOCOLS, find_protocol, lay_out
from lorafit.metrics.registry import METRICS
from lorafit.metrics.significance import Difference, Statistic, mcnemar, paired_bootstrap

Prediction = dict[str, Any]
Kind = Literal["text", "label", "score"]
Correlation = Callable[[NDArray[Any], NDArray[Any]], float]


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
    """The result. `examples` are those that differ, the greatest differences first; `measure` is theirs."""

    kind: Kind
    num_examples: int
    num_better: int
    num_worse: int
    num_same: int
    measure: str
    differences: tuple[Difference, ...]
    examples: tuple[ExampleDifference, ...]


def read_predictions(path: Path) -> list[Prediction]:
    """A file of predictions as a run writes it. Raises NotFoundError that names file and line."""
    lines = []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{path}: cannot be read: {error}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise NotFoundError(f"{path}:{number}: not valid JSON: {error.msg}") from None
        if not isinstance(value, dict) or "prediction" not in value:
            raise NotFoundError(f"{path}:{number}: not a prediction: an object with 'prediction' is expected")
        lines.append(value)
    if not lines:
        raise NotFoundError(f"{path}: is empty")
    return lines


def compare_predictions(
    a: Sequence[Prediction], b: Sequence[Prediction], task: str, *, num_samples: int = 1000
) -> Comparison:
    """Compare predictions for the same examples, in the same order.

    Texts: paired bootstrap of the task's BLEU and chrF. Labels: exact McNemar. Real numbers: paired bootstrap of both
    correlations. Raises NotFoundError where the examples are not the same ones.
    """
    _check_same_examples(a, b)
    kind = _kind(a[0])
    if kind == "text":
        return _compare_texts(a, b, task, num_samples)
    return _compare_labels(a, b, num_samples) if kind == "label" else _compare_scores(a, b, num_samples)


def _check_same_examples(a: Sequence[Prediction], b: Sequence[Prediction]) -> None:
    if len(a) != len(b):
        raise NotFoundError(
            f"the runs predict {len(a)} and {len(b)} examples, so they cannot be compared pairwise"
        )
    for number, (one, other) in enumerate(zip(a, b, strict=True), start=1):
        for key in ("input", "references", "label"):
            if one.get(key) != other.get(key):
                raise NotFoundError(f"prediction {number}: the runs have different examples there ({key})")


def _kind(line: Prediction) -> Kind:
    if "references" in line:
        return "text"
    return "score" if isinstance(line["prediction"], float) else "label"


def _summary(
    kind: Kind,
    gains: Sequence[float],
    measure: str,
    differences: Sequence[Difference],
    lines: tuple[Sequence[Prediction], Sequence[Prediction]],
) -> Comparison:
    a, b = lines
    order = sorted((i for i, gain in enumerate(gains) if gain), key=lambda i: -abs(gains[i]))
    examples = tuple(
        ExampleDifference(
            i,
            gains[i],
            a[i].get("input"),
            a[i]["prediction"],
            b[i]["prediction"],
            a[i].get("references", a[i].get("label")),
        )
        for i in order
    )
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return Comparison(
        kind, len(a), better, worse, len(a) - better - worse, measure, tuple(differences), examples
    )


# ---- texts


def _compare_texts(
    a: Sequence[Prediction], b: Sequence[Prediction], task: str, num_samples: int
) -> Comparison:
    from sacrebleu.metrics import BLEU, CHRF

    known = (task, "paper") in PROTOCOLS
    protocol = find_protocol(task if known else "e2e", "paper")
    metric = next(METRICS[name] for name in protocol.metrics if isinstance(METRICS[name], Bleu))
    assert isinstance(metric, Bleu)
    groups = lay_out(protocol, [line["references"] for line in a])
    texts = [[protocol.prepare(line["prediction"]) for line in lines] for lines in (a, b)]
    missing = None if metric.empty_reference == "dropped" else ""
    bleu = BLEU(tokenize=metric.tokenize, lowercase=metric.lowercase, force=True)
    chrf = CHRF(word_order=2, eps_smoothing=True)
    differences = []
    for name, scorer, gap, factor in (("bleu", bleu, missing, 1.0), ("chrf", chrf, None, 0.01)):
        streams = by_position(groups, gap)
        one, other = (_corpus_statistic(scorer, side, streams, factor) for side in texts)
        differences.append(paired_bootstrap(name, one, other, len(a), num_samples=num_samples))
    per_text = [
        [
            chrf.sentence_score(text, [r for r in group if r]).score / 100
            for text, group in zip(side, groups, strict=True)
        ]
        for side in texts
    ]
    gains = [y - x if one != other else 0.0 for x, y, one, other in zip(*per_text, *texts, strict=True)]
    return _summary("text", gains, "chrF++ of the text", differences, (a, b))


def _corpus_statistic(
    scorer: Any, texts: Sequence[str], streams: Sequence[Sequence[Any]], factor: float
) -> Statistic:
    """The corpus score as a function of the examples drawn: sacrebleu's counts of each text are added up."""
    counts = np.array(scorer._extract_corpus_statistics(list(texts), [list(stream) for stream in streams]))

    def score(positions: NDArray[np.intp]) -> float:
        total = counts[positions].sum(axis=0)
        return float(scorer._compute_score_from_stats(total.tolist()).score) * factor

    return score


# ---- labels and real numbers


def _compare_labels(a: Sequence[Prediction], b: Sequence[Prediction], num_samples: int) -> Comparison:
    labels = np.array([line["label"] for line in a])
    sides = [np.array([line["prediction"] for line in lines]) for lines in (a, b)]
    right = [side == labels for side in sides]
    differences = [mcnemar("accuracy", right[0].tolist(), right[1].tolist())]
    if len(set(labels.tolist())) == 2:
        from sklearn.metrics import matthews_corrcoef

        one, other = (_quiet(matthews_corrcoef, labels, side) for side in sides)
        differences.append(paired_bootstrap("matthews", one, other, len(a), num_samples=num_samples))
    gains = [float(y) - float(x) for x, y in zip(*right, strict=True)]
    return _summary("label", gains, "right (1) or wrong (0)", differences, (a, b))


def _compare_scores(a: Sequence[Prediction], b: Sequence[Prediction], num_samples: int) -> Comparison:
    from scipy.stats import pearsonr, spearmanr

    wanted = np.array([line["label"] for line in a], dtype=float)
    sides = [np.array([line["prediction"] for line in lines], dtype=float) for lines in (a, b)]
    differences = []
    functions: dict[str, Correlation] = {
        "pearson": lambda x, y: float(pearsonr(x, y)[0]),
        "spearman": lambda x, y: float(spearmanr(x, y)[0]),
    }
    for name, function in functions.items():
        one, other = (_quiet(function, wanted, side) for side in sides)
        differences.append(paired_bootstrap(name, one, other, len(a), num_samples=num_samples))
    gains = (np.abs(sides[0] - wanted) - np.abs(sides[1] - wanted)).tolist()
    return _summary("score", gains, "how much nearer to the label", differences, (a, b))


def _quiet(function: Correlation, wanted: NDArray[Any], given: NDArray[Any]) -> Statistic:
    """A correlation of a sample; 0 where the sample has only one value."""

    def score(positions: NDArray[np.intp]) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = float(function(wanted[positions], given[positions]))
        return value if np.isfinite(value) else 0.0

    return score
