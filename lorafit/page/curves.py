"""The course of training: the events of a run -> charts and a table of what was logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.files import JsonObject
from lorafit.format import size
from lorafit.page.chart import Chart, Point, Series, draw, smoothed
from lorafit.page.run import Run

_RAW, _VALIDATION = 0, 1  # colours
_SMOOTHED_FROM = 120  # logged steps; fewer are drawn as they are
_MOST_LINES = 400  # of the table


@dataclass(frozen=True)
class Curves:
    """`loss` against steps and, where they were counted, against tokens; `others` are smaller charts.

    `lines` are rows of a table with `columns`; `left_out` says what it leaves out.
    """

    loss: Sequence[Chart]
    others: Sequence[Chart]
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]
    left_out: str


def curves(run: Run) -> Curves:
    """Of a run, as far as it has come."""
    steps = run.of("step")
    losses = [_loss(run, steps, "step", "steps"), _loss(run, steps, "tokens", "tokens")]
    others = [
        _small("learning-rate", "Learning rate", steps, "learning_rate", from_zero=True),
        _small("gradient-norm", "Gradient norm", steps, "grad_norm"),
        _small("speed", "Tokens per second", steps, "tokens_per_second", from_zero=True),
        _small("memory", "Peak memory, GB", steps, "memory_bytes", 1e-9, from_zero=True),
        *_validation_scores(run),
    ]
    columns, lines = _table(run)
    validated = columns[-1] == _VALIDATED
    kept = lines if len(lines) <= _MOST_LINES else _spread(lines, validated=validated)
    left_out = (
        f"{len(kept):,} of {len(lines):,} lines, evenly spaced; metrics.jsonl has all"
        if len(kept) < len(lines)
        else ""
    )
    return Curves(
        [chart for chart in losses if chart is not None],
        [chart for chart in others if chart is not None],
        columns,
        kept,
        left_out,
    )


def loss_points(events: Sequence[JsonObject], x: str, y: str = "loss") -> list[Point]:
    """(x, y) of the events that have both places; y may be unknown."""
    return [(float(event[x]), event.get(y)) for event in events if event.get(x) is not None]


def tokens_at(steps: Sequence[JsonObject], step: int) -> float | None:
    """Tokens trained on up to a step: the nearest logged ones, in proportion; None where they were not counted."""
    counted = [(event["step"], event["tokens"]) for event in steps if event.get("tokens") is not None]
    if not counted:
        return None
    before = next(((s, t) for s, t in reversed(counted) if s <= step), (0, 0))
    after = next(((s, t) for s, t in counted if s >= step), None)
    if after is None or after[0] == before[0]:
        rate = before[1] / before[0] if before[0] else 0.0
        return float(before[1] + rate * (step - before[0]))
    share = (step - before[0]) / (after[0] - before[0])
    return float(before[1] + share * (after[1] - before[1]))


def _loss(run: Run, steps: Sequence[JsonObject], x: str, title: str) -> Chart | None:
    validations = run.of("validation")
    if x == "tokens":
        validations = [event | {"tokens": tokens_at(steps, event["step"])} for event in validations]
        if not any(event.get("tokens") is not None for event in steps):
            return None
    points = loss_points(steps, x)
    if len(points) >= _SMOOTHED_FROM:
        width = max(len(points) // 50, 5)
        lines = [
            Series("each logged step", points, _RAW, "faint"),
            Series(f"training, mean of {width} logged steps", smoothed(points, width), _RAW),
        ]
    else:
        lines = [Series("training", points, _RAW)]
    lines.append(Series("validation", loss_points(validations, x), _VALIDATION, "dots"))
    return draw(f"loss-{x}", "Loss", lines, x=title, y="loss", note=_about_loss(run))


def _about_loss(run: Run) -> str:
    """What makes the two losses differ, beside what is learned."""
    train = run.section("train")
    smoothing, notes = train.get("label_smoothing", 0.0), []
    if smoothing:
        notes.append(
            f"the training loss includes label smoothing ({smoothing:g}), the validation loss does not"
        )
    every = train.get("log_every", 10)
    if every > 1:
        notes.append(f"every {every}th step is logged, each the mean over its own batch")
    text = "; ".join(notes)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _small(
    id: str,
    title: str,
    steps: Sequence[JsonObject],
    key: str,
    factor: float = 1.0,
    *,
    from_zero: bool = False,
) -> Chart | None:
    points = [
        (at, None if value is None else value * factor) for at, value in loss_points(steps, "step", key)
    ]
    if not any(value for _, value in points):
        return None
    return draw(id, title, [Series(title.lower(), points)], x="steps", from_zero=from_zero)


def _validation_scores(run: Run) -> list[Chart | None]:
    """A chart for each score of the validation split."""
    validations = run.of("validation")
    names = dict.fromkeys(name for event in validations for name in event.get("scores") or {})
    return [
        draw(
            f"validation-{number}",
            f"Validation {name}",
            [
                Series(
                    name,
                    [(e["step"], (e.get("scores") or {}).get(name)) for e in validations],
                    _VALIDATION,
                    "dots",
                )
            ],
            x="steps",
        )
        for number, name in enumerate(names)
    ]


_VALIDATED = "validation loss"
_COLUMNS = (
    ("loss", "loss"),
    ("learning_rate", "learning rate"),
    ("grad_norm", "gradient norm"),
    ("tokens_per_second", "tokens/s"),
    ("tokens", "tokens"),
    ("memory_bytes", "memory"),
)


def _table(run: Run) -> tuple[list[str], list[list[str]]]:
    """What was logged, step by step, the validations among them."""
    events = run.of("step", "validation")
    there = [(key, title) for key, title in _COLUMNS if any(event.get(key) is not None for event in events)]
    validated = any(event["event"] == "validation" for event in events)
    columns = ["step", *(title for _, title in there), *([_VALIDATED] if validated else [])]
    lines: dict[int, dict[str, object]] = {}
    for event in events:
        line = lines.setdefault(event["step"], {})
        if event["event"] == "validation":
            line["validation"] = event["loss"]
        else:
            line |= event
    keys = [*(key for key, _ in there), *(["validation"] if validated else [])]
    return columns, [
        [f"{step:,}", *(_cell(key, lines[step].get(key)) for key in keys)] for step in sorted(lines)
    ]


def _cell(key: str, value: object) -> str:
    match value:
        case int() | float() if key == "memory_bytes":
            return size(value)
        case int() | float() if key in ("tokens", "tokens_per_second"):
            return f"{value:,.0f}"
        case int() | float() if key == "learning_rate":
            return f"{value:.3g}"
        case int() | float():
            return f"{value:.4f}"
        case _:
            return ""


def _spread(lines: Sequence[Sequence[str]], *, validated: bool) -> list[Sequence[str]]:
    """Evenly spaced ones; where the last column has validations, and there are few of them, all that have one."""
    every = -(-len(lines) // _MOST_LINES)
    few = validated and sum(bool(line[-1]) for line in lines) <= _MOST_LINES
    return [
        line for i, line in enumerate(lines) if i % every == 0 or i == len(lines) - 1 or (few and line[-1])
    ]
