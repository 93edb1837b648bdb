"""Line charts: numbers -> where everything stands in a drawing. The template puts the drawing onto the page.

A plot is a square of 1000 x 1000 that the browser stretches to its place, so lines are given in its units, and labels,
which must not be stretched, in percent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lorafit.format import short

UNITS = 1000
_MOST_POINTS = 600  # of a line; more cannot be told apart
_MOST_IN_ALL = 9000  # of all lines of a chart: a page of many runs stays below a megabyte
_MOST_TICKS = 5
_NUM_COLOURS = 8

Point = tuple[float, float | None]
"""(x, y); y is None where nothing was measured, and the line has a gap."""
Look = Literal["line", "faint", "dots"]


@dataclass(frozen=True)
class Series:
    """A named line. `look`: a line, a faint one behind another, or a line with a dot at each of its points."""

    name: str
    points: Sequence[Point]
    colour: int = 0
    look: Look = "line"

    @property
    def style(self) -> str:
        """The classes that colour and dash it; runs out of colours only after it has dashed them."""
        return f"c{self.colour % _NUM_COLOURS} d{self.colour // _NUM_COLOURS % 3}"


@dataclass(frozen=True)
class Drawn:
    """A series in the plot. `line` and `dots` are values of an SVG path's `d`; `num_left_out` points are not drawn."""

    series: Series
    line: str
    dots: str
    num_left_out: int


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, by equal steps or (log) by equal factors; `ticks` are (percent, label)."""

    title: str
    low: float
    high: float
    is_log: bool
    ticks: Sequence[tuple[float, str]]

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Chart:
    """A chart with everything placed. `summary` says in words what it shows."""

    id: str
    title: str
    x: Axis
    y: Axis
    drawn: Sequence[Drawn]
    summary: str
    note: str = ""


def draw(
    id: str,
    title: str,
    series: Iterable[Series],
    *,
    x: str,
    y: str = "",
    note: str = "",
    log_x: bool = False,
    from_zero: bool = False,
) -> Chart | None:
    """The chart of those series that have a point; None where none has."""
    there = [each for each in series if _known(each.points)]
    if not there:
        return None
    known = [point for each in there for point in _known(each.points)]
    across = _axis(x, [at for at, _ in known], is_log=log_x, tight=True)
    up = _axis(y or title, [*(value for _, value in known), *([0.0] if from_zero else [])])
    most = min(_MOST_POINTS, max(_MOST_IN_ALL // len(there), 4))
    drawn = [_drawn(each, across, up, most) for each in there]
    return Chart(id, title, across, up, drawn, _summary(title, there, x), note)


def smoothed(points: Sequence[Point], width: int) -> list[Point]:
    """The mean of the last `width` measured points, at each."""
    window: list[float] = []
    means: list[Point] = []
    for at, value in points:
        if value is not None:
            window = [*window[-(width - 1) :], value] if width > 1 else [value]
            means.append((at, math.fsum(window) / len(window)))
    return means


def thinned(points: Sequence[Point], most: int = _MOST_POINTS) -> list[Point]:
    """At most `most` of the points: the least and the greatest of each stretch, so that no peak is lost."""
    if len(points) <= most:
        return list(points)
    width = math.ceil(len(points) / (most // 2 - 1))
    kept: list[Point] = [points[0]]
    for begin in range(1, len(points) - 1, width):
        stretch = points[begin : min(begin + width, len(points) - 1)]
        known = [point for point in stretch if point[1] is not None] or stretch[:1]
        ends = {min(known, key=_height), max(known, key=_height)}
        kept += sorted(ends, key=lambda point: point[0])
    return [*kept, points[-1]]


def ticks(low: float, high: float, most: int = _MOST_TICKS) -> list[float]:
    """Round numbers between the two, as many as fit: multiples of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first
    return [(first + i) * step for i in range(count + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; powers alone where these are enough."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    wide = len(powers) > _MOST_TICKS
    found = [10.0**power * factor for power in powers for factor in ((1,) if wide else (1, 2, 5))]
    return [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def _axis(title: str, values: Sequence[float], *, is_log: bool = False, tight: bool = False) -> Axis:
    """From the least value to the greatest; a tight one has no room beyond them."""
    low, high = min(values), max(values)
    if is_log and low > 0:
        room = (high / low) ** 0.05 if high > low else 2.0
        low, high = low / room, high * room
        return _marked(Axis(title, low, high, True, ()), log_ticks(low, high))
    if high == low:
        room = abs(low) / 2 or 0.5
        low, high = low - room, high + room
    elif not tight:
        room = (high - low) * 0.06
        low, high = (low if low == 0 else low - room), high + room
    return _marked(Axis(title, low, high, False, ()), ticks(low, high))


def _marked(axis: Axis, values: Sequence[float]) -> Axis:
    marks = [(100 * axis.place(value), short(value)) for value in values]
    return Axis(axis.title, axis.low, axis.high, axis.is_log, marks)


def _drawn(series: Series, across: Axis, up: Axis, most: int) -> Drawn:
    kept = thinned(series.points, most)
    pen = "M"
    steps, dots = [], []
    for at, value in kept:
        if value is None:
            pen = "M"
            continue
        place = f"{_unit(across.place(at))} {_unit(1 - up.place(value))}"
        steps.append(f"{pen}{place}")
        dots.append(f"M{place}h0")
        pen = "L"
    single = sum(value is not None for _, value in kept) == 1
    shown = "".join(dots) if series.look == "dots" or single else ""
    return Drawn(series, "".join(steps), shown, len(series.points) - len(kept))


def _unit(share: float) -> str:
    return f"{share * UNITS:.3f}".rstrip("0").rstrip(".")


def _known(points: Sequence[Point]) -> list[tuple[float, float]]:
    return [(at, value) for at, value in points if value is not None]


def _height(point: Point) -> float:
    return -math.inf if point[1] is None else point[1]


def _summary(title: str, series: Sequence[Series], x: str) -> str:
    told = [f"{each.name} {_way(_known(each.points))}" for each in series if each.look != "faint"]
    first, last = (f(at for each in series for at, _ in _known(each.points)) for f in (min, max))
    return f"{title} against {x}, {short(first)} to {short(last)}: {'; '.join(told)}."


def _way(points: Sequence[tuple[float, float]]) -> str:
    values = [value for _, value in points]
    if len(values) == 1:
        return f"is {short(values[0])}"
    between = f"between {short(min(values))} and {short(max(values))}"
    return f"goes from {short(values[0])} to {short(values[-1])}, {between}"
