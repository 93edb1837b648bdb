"""The page of several runs, or of a sweep: one chart, a table that sorts, and which differences mean something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lorafit.errors import LorafitError
from lorafit.files import write_text
from lorafit.format import ranges
from lorafit.metrics.comparison import difference
from lorafit.metrics.significance import Difference, holm
from lorafit.page.chart import Chart, Series, draw, smoothed
from lorafit.page.curves import loss_points
from lorafit.page.members import LOSS, Member, Members, find_members, mean_and_std, setting_text
from lorafit.page.render import render
from lorafit.page.run import Run
from lorafit.page.scores import higher_is_better, scorer_of
from lorafit.version import __version__

_MOST_SMOOTHED = 40  # logged steps that a mean is taken over
_MOST_SETTINGS = 6  # columns of the table
_MOST_SCORES = 5
_MOST_ROWS = 200  # of a table: the best, where there are more
_MOST_LINES = 24  # of a chart; of so many each looks its own way
_MOST_COMPARED = 24  # with the best: each resamples its predictions
_LEARNING_RATE = "train.learning_rate"
_SURE = 0.05


@dataclass(frozen=True)
class Compared:
    """A run beside the best one: the best's score, its own, and how sure the difference is after Holm's correction."""

    member: Member
    difference: Difference | None
    p_value: float | None
    fault: str = ""

    @property
    def verdict(self) -> str:
        """What the test says."""
        if self.difference is None or self.p_value is None:
            return self.fault
        return "differs" if self.p_value < _SURE else "may be chance"


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seeds: the mean and spread of each score, and how many have it."""

    settings: Sequence[str]
    seeds: str
    count: int
    values: Sequence[tuple[float | None, float | None, int]]


def write_several(places: Sequence[Path], output: Path) -> Path:
    """Write the page of several runs, of folders of runs and of sweeps. Returns where it is.

    Raises NotFoundError for a place without a run, DataError for files that are not what a run leaves.
    """
    write_text(output, several_page(find_members(places)))
    return output


def several_page(members: Members) -> str:
    """The page, as HTML."""
    compared, best = _compared(members), members.best
    swept, charts = _swept(members), _curves(members)
    groups = _groups(members)
    sections = {
        "sweep": ("Sweep", bool(swept)),
        "runs": ("Runs", True),
        "seeds": ("Over seeds", bool(groups)),
        "differences": ("Differences", bool(compared)),
        "training": ("Training", bool(charts)),
    }
    keys = list(members.keys[:_MOST_SETTINGS])
    return render(
        "several.html.jinja",
        version=__version__,
        title=_title(members),
        members=members,
        rows=members.leading(_MOST_ROWS),
        best=best,
        best_value=best.value(members.headline) if best else None,
        keys=keys,
        keys_left_out=list(members.keys[_MOST_SETTINGS:]),
        scores=list(members.scores[:_MOST_SCORES]),
        setting_text=setting_text,
        sections=[(id, title) for id, (title, there) in sections.items() if there],
        swept=swept,
        groups=groups[:_MOST_ROWS],
        num_groups=len(groups),
        compared=compared,
        num_tested=sum(each.difference is not None for each in compared),
        split=best.run.predictions[0] if best and best.run else "",
        test=next((each.difference.test for each in compared if each.difference), ""),
        charts=charts,
    )


def _title(members: Members) -> str:
    names = dict.fromkeys(member.run.name for member in members.members if member.run is not None)
    return ", ".join(names) if 0 < len(names) <= 3 else f"{len(members.members)} runs"


# ---- what differs


def _compared(members: Members) -> list[Compared]:
    """Every run beside the best one, by the headline; of many, those next to it."""
    best = members.best
    if best is None or best.run is None or not best.run.predictions[1]:
        return []
    leading = members.leading(_MOST_COMPARED + 1)
    others = [member for member in leading if member is not best and member.run is not None]
    name = members.headline.rpartition(".")[2]
    found = [_beside(best.run, member, name) for member in others]
    known = [each.difference.p_value for each in found if each.difference is not None]
    adjusted = iter(holm(known))
    return [
        Compared(
            each.member, each.difference, None if each.difference is None else next(adjusted), each.fault
        )
        for each in found
    ]


def _beside(best: Run, member: Member, name: str) -> Compared:
    if member.run is None or not member.run.predictions[1]:
        return Compared(member, None, None, "has no predictions")
    if member.run.predictions[0] != best.predictions[0]:
        return Compared(member, None, None, f"was scored on {member.run.predictions[0]}")
    try:
        return Compared(
            member, difference(best.predictions[1], member.run.predictions[1], scorer_of(best), name), None
        )
    except LorafitError as error:
        return Compared(member, None, None, error.message)


def _groups(members: Members) -> list[Group]:
    keys = [key for key in members.keys if key != "train.seed"][:_MOST_SETTINGS]
    scores = [*members.scores[:_MOST_SCORES], LOSS]
    return [
        Group(
            [setting_text(group[0], key) for key in keys] or [group[0].run.name if group[0].run else ""],
            ranges(sorted(member.seed for member in group)),
            len(group),
            [mean_and_std(member.value(score) for member in group) for score in scores],
        )
        for group in members.groups
    ]


# ---- charts


def _curves(members: Members) -> list[Chart]:
    """Training and validation loss, and the headline on the validation split, of all runs in one chart each; of many
    runs, those of the best."""
    shown = [each for each in members.leading(_MOST_LINES) if each.run is not None]
    runs = [(number, each, each.run) for number, each in enumerate(shown) if each.run is not None]
    training, validation, scored = [], [], []
    widest = 1
    name = members.headline.rpartition(".")[2]
    for number, member, run in runs:
        points, validations = loss_points(run.of("step"), "step"), run.of("validation")
        width = min(max(len(points) // 20, 1), _MOST_SMOOTHED)
        widest = max(widest, width)
        training.append(Series(member.name, smoothed(points, width), number))
        validation.append(Series(member.name, loss_points(validations, "step"), number, "dots"))
        values = [(float(e["step"]), (e.get("scores") or {}).get(name)) for e in validations if "step" in e]
        scored.append(Series(member.name, values, number, "dots"))
    means = f"Each point is the mean of up to {widest} logged steps." if widest > 1 else ""
    left_out = len(members.members) > _MOST_LINES
    note = " ".join(filter(None, (means, f"The best {_MOST_LINES} runs are drawn." if left_out else "")))
    found = [
        draw("training", "Training loss", training, x="steps", note=note),
        draw("validation", "Validation loss", validation, x="steps"),
        draw("score", f"Validation {name}", scored, x="steps"),
    ]
    return [chart for chart in found if chart is not None]


def _swept(members: Members) -> list[Chart]:
    """The headline, and the validation loss, against the learning rate, or another number in which the runs differ: a
    line for each combination of the other settings, such as each rank, through the means over seeds."""
    numbers = [key for key in members.keys if key != "train.seed" and _is_number(members, key)]
    key = _LEARNING_RATE if _LEARNING_RATE in numbers else next(iter(numbers), None)
    if key is None:
        return []
    others = [other for other in members.keys if other not in (key, "train.seed")]
    wanted = dict.fromkeys((members.headline, LOSS))
    charts = [_against(members, key, others, score) for score in wanted]
    return [chart for chart in charts if chart is not None]


def _against(members: Members, key: str, others: Sequence[str], score: str) -> Chart | None:
    """A line for each combination of the `others` with which the key has several values."""
    alike: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for member in members.members:
        value = member.value(score)
        if value is not None and key in member.settings:
            texts = tuple(setting_text(member, other) for other in others)
            alike.setdefault(texts, []).append((float(member.settings[key]), value))
    kept = {texts: points for texts, points in alike.items() if len(dict(points)) > 1}
    named = [i for i in range(len(others)) if len({texts[i] for texts in kept}) > 1]
    lines: dict[str, dict[float, list[float]]] = {}
    for texts, points in kept.items():
        name = ", ".join(f"{others[i].partition('.')[2]} {texts[i] or '(none)'}" for i in named)
        for at, value in points:
            lines.setdefault(name or score, {}).setdefault(at, []).append(value)
    series = [
        Series(name, [(at, sum(found) / len(found)) for at, found in sorted(places.items())], number, "dots")
        for number, (name, places) in enumerate(lines.items())
    ]
    several = any(len(found) > 1 for places in lines.values() for found in places.values())
    is_lower = score == LOSS or not higher_is_better(score)
    note = f"{'Lower' if is_lower else 'Higher'} is better."
    note += " Each point is the mean over seeds." if several else ""
    if len(series) > _MOST_LINES:
        note += f" The {_MOST_LINES} lines of {len(series):,} that reach the best mean are drawn."
        series = sorted(series, key=lambda each: _best_of(each, is_lower=is_lower))[:_MOST_LINES]
        series = [replace(each, colour=number) for number, each in enumerate(series)]
    positive = all(at > 0 for places in lines.values() for at in places)
    x = key.partition(".")[2].replace("_", " ")
    return draw(f"swept-{len(score)}", score, series, x=x, note=note, log_x=positive)


def _best_of(series: Series, *, is_lower: bool) -> float:
    """Its best value, the less the better."""
    values = [value for _, value in series.points if value is not None]
    return min(values) if is_lower else -max(values)


def _is_number(members: Members, key: str) -> bool:
    values = [member.settings.get(key) for member in members.members if key in member.settings]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
