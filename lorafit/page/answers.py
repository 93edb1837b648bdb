"""The predictions of a run: each beside what is right, which go best and worst, and which class is taken for which."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lorafit.errors import LorafitError
from lorafit.files import JsonObject
from lorafit.metrics.comparison import Prediction, example_values
from lorafit.metrics.scorers import Scorer
from lorafit.metrics.shown import evenly, on_page
from lorafit.page.run import Run
from lorafit.page.scores import scorer_of

_MOST_EXTREMES = 5
_MOST_CONFUSIONS = 20  # where there are too many classes for a matrix
_MOST_MEASURED = 600  # texts; a value of each takes some milliseconds
_FEWEST_MEASURED = 20
_MOST_READ = 400_000  # characters that are compared: some seconds
_MOST_REFERENCES = 3
_MOST_CHARACTERS = 400_000  # of all that is shown: the page stays below a megabyte
_CLIPS = (4000, 2000, 1000, 500, 250)  # characters of a text


@dataclass(frozen=True)
class Answer:
    """An example as text. `parts` are what the model was given, by name; `value` is what was measured of it."""

    index: int
    parts: Mapping[str, str]
    written: str | None  # None of a text that was read alone
    right: Sequence[str]
    num_more: int  # references that are not shown
    value: float | None
    is_right: bool | None  # None where an answer is not simply right or wrong

    @property
    def size(self) -> int:
        return len(self.written or "") + sum(map(len, (*self.parts.values(), *self.right)))


@dataclass(frozen=True)
class Confusion:
    """Which class is taken for which: `counts` [is][answered]; `classes` has precision, recall, f1 and support."""

    names: Sequence[str]
    counts: Sequence[Sequence[int]]
    classes: Mapping[str, JsonObject]

    @property
    def worst(self) -> list[tuple[int, str, str]]:
        """The greatest confusions: (how many, class, taken for)."""
        pairs = [
            (count, self.names[i], self.names[j])
            for i, row in enumerate(self.counts)
            for j, count in enumerate(row)
            if count and i != j
        ]
        return sorted(pairs, key=lambda each: -each[0])[:_MOST_CONFUSIONS]

    def share(self, row: int, column: int) -> float:
        """Of the examples of the row's class."""
        total = sum(self.counts[row])
        return self.counts[row][column] / total if total else 0.0


@dataclass(frozen=True)
class Answers:
    """`shown` are evenly spaced over all `total`; `worst` and `best` are by `measure`, "" where there is none."""

    split: str
    total: int
    shown: Sequence[Answer]
    worst: Sequence[Answer]
    best: Sequence[Answer]
    measure: str
    num_measured: int
    clip: int | None  # characters after which a text is cut; None where all are whole
    is_text: bool


def answers(run: Run) -> Answers | None:
    """None of a run without predictions."""
    split, predictions = run.predictions
    if not predictions:
        return None
    listed = on_page(len(predictions))
    measure, more_is_better, by_index = _measured(predictions, scorer_of(run), listed)
    shown = [_answer(i, predictions[i], by_index.get(i)) for i in listed]
    order = sorted(by_index, key=lambda i: by_index[i], reverse=not more_is_better)
    extremes = min(_MOST_EXTREMES, len(order) // 2)
    worst, best = order[:extremes], order[::-1][:extremes]
    ends = [[_answer(i, predictions[i], by_index[i]) for i in each] for each in (worst, best)]
    clip = next(
        (clip for clip in _CLIPS if sum(_clipped(a, clip).size for a in shown) <= _MOST_CHARACTERS),
        _CLIPS[-1],
    )
    cut = any(_clipped(answer, clip) != answer for answer in (*shown, *ends[0], *ends[1]))
    shown, worst_, best_ = ([_clipped(answer, clip) for answer in each] for each in (shown, *ends))
    is_text = "references" in predictions[0]
    return Answers(
        split, len(predictions), shown, worst_, best_, measure, len(by_index), clip if cut else None, is_text
    )


def confusion(run: Run) -> Confusion | None:
    """Of a run that gives one class to each example."""
    counts, classes = run.result.get("confusion"), run.result.get("classes") or {}
    return Confusion(list(classes), counts, classes) if counts else None


def _measured(
    predictions: Sequence[Prediction], scorer: Scorer, listed: Sequence[int]
) -> tuple[str, bool, dict[int, float]]:
    """(what is measured, whether more of it is better, the values by index): the loss of those of which
    the run knows it; else what tells two systems apart, of some of the examples, among which are the listed ones."""
    known = ((i, _loss(line)) for i, line in enumerate(predictions))
    losses = {i: loss for i, loss in known if loss is not None and math.isfinite(loss)}
    if losses:
        return "loss", False, losses
    length = sum(_length(predictions[i]) for i in listed) / len(listed)
    most = min(_MOST_MEASURED, int(_MOST_READ / max(length, 1)))
    if most < _FEWEST_MEASURED:
        return "", True, {}
    drawn = (
        evenly(len(predictions), most)
        if most < len(listed)
        else sorted({*evenly(len(predictions), most), *listed})
    )
    try:
        measure, more_is_better, values = example_values([predictions[i] for i in drawn], scorer)
    except LorafitError:
        return "", True, {}
    if all(value in (0, 1) for value in values):  # right or wrong, which stands there anyway
        return "", True, {}
    return measure, more_is_better, dict(zip(drawn, values, strict=True))


def _length(line: Prediction) -> int:
    """Characters that a measure reads."""
    return len(str(line["prediction"])) * max(len(line.get("references") or ()), 1)


def _loss(line: Prediction) -> float | None:
    """Of an example, where its prediction tells it: of a text per token, of a class by its probability, of a number the
    squared error."""
    if "loss" in line:
        return float(line["loss"])
    if _is_loss(line):
        return line["prediction"] if line["num_targets"] else None
    probabilities = line.get("probabilities") or {}
    match line.get("label"):
        case int() | float() as number if isinstance(line["prediction"], int | float):
            return (line["prediction"] - number) ** 2
        case str() as name if name in probabilities:
            return -math.log(max(probabilities[name], 1e-6))  # as they are rounded
        case list() as names if probabilities:
            shares = [p if name in names else 1 - p for name, p in probabilities.items()]
            return -math.fsum(math.log(max(share, 1e-6)) for share in shares) / len(shares)
    return None


def _is_loss(line: Prediction) -> bool:
    """Whether the prediction is how likely a text is, and no answer."""
    return "num_targets" in line and isinstance(line["prediction"], float)


def _answer(index: int, line: Prediction, value: float | None) -> Answer:
    given = line.get("input")
    parts = {k: _said(v) for k, v in given.items()} if isinstance(given, dict) else {"input": _said(given)}
    right = line["references"] if "references" in line else [line.get("label")]
    known = [_said(each) for each in right if each is not None]
    is_right = None
    if "references" not in line and known and not isinstance(line["prediction"], float):
        is_right = line["prediction"] == line["label"]
    said = None if _is_loss(line) else _said(line["prediction"])
    return Answer(
        index, parts, said, known[:_MOST_REFERENCES], max(len(known) - _MOST_REFERENCES, 0), value, is_right
    )


def _said(value: Any) -> str:
    """A text, a number, a list of labels, or a conversation, as people read them."""
    match value:
        case str():
            return value
        case float():
            return f"{value:.4g}"
        case [{"role": _}, *_]:
            return "\n".join(f"{turn.get('role')}: {_said(turn.get('content') or '')}" for turn in value)
        case list() if all(isinstance(each, str) for each in value):
            return ", ".join(value) or "(none)"
        case None:
            return ""
        case _:
            return json.dumps(value, ensure_ascii=False)


def _clipped(answer: Answer, most: int) -> Answer:
    def clip(text: str) -> str:
        return text if len(text) <= most else f"{text[:most]}…"

    parts = {name: clip(text) for name, text in answer.parts.items()}
    written = None if answer.written is None else clip(answer.written)
    return replace(answer, parts=parts, written=written, right=[*map(clip, answer.right)])
