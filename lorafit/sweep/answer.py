"""What a sweep says: for each setting its mean over seeds, which is best, what is within noise of it, in a sentence."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lorafit.files import JsonObject
from lorafit.format import few
from lorafit.sweep.grid import are_numbers, settings_text, value_text

State = Literal["waiting", "stopped", "finished", "diverged"]

_LEVEL = 0.95  # of intervals; what is within noise differs with p > 1 - _LEVEL


@dataclass(frozen=True)
class Member:
    """A run of the sweep. `validation`: loss and scores of its best epoch; `quality` of it, the greater the better;
    `score` is the headline. `reason`: why it diverged."""

    settings: Mapping[str, Any]
    seed: int
    run: str
    state: State
    validation: JsonObject | None = None
    quality: float | None = None
    score: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    def to_json(self) -> JsonObject:
        """Its entry in sweep.json."""
        return {
            "overrides": dict(self.settings),
            "seed": self.seed,
            "run": self.run,
            "validation": self.validation,
            "scores": dict(self.scores),
            "state": self.state,
            **({"reason": self.reason} if self.reason else {}),
        }


@dataclass(frozen=True)
class Figure:
    """A value over seeds: mean, sample deviation, and half the width of the 95% interval of the mean (Student's t).

    `std` and `half` are None for a single seed.
    """

    mean: float
    std: float | None
    half: float | None
    values: tuple[float, ...]

    @staticmethod
    def of(values: Sequence[float | None]) -> Figure | None:
        """Of the values that are known; None where there is none."""
        known = tuple(value for value in values if value is not None)
        if not known:
            return None
        mean = statistics.fmean(known)
        if len(known) < 2:
            return Figure(mean, None, None, known)
        from scipy.special import stdtrit  # of Student's t; scipy.stats takes seconds to import

        std = statistics.stdev(known)
        half = float(stdtrit(len(known) - 1, (1 + _LEVEL) / 2)) * std / math.sqrt(len(known))
        return Figure(mean, std, half, known)


@dataclass(frozen=True)
class Row:
    """A setting, with all its seeds. `validation` is the score on the validation rows. `merit` is what settings are
    judged by: `quality` where every one that is scored has it, else the score. `is_close`: whether it is within noise
    of the best one; None: not known."""

    settings: Mapping[str, Any]
    members: Sequence[Member]
    loss: Figure | None
    validation: Figure | None
    quality: Figure | None
    score: Figure | None
    merit: Figure | None = None
    is_best: bool = False
    is_close: bool | None = None

    @property
    def num_diverged(self) -> int:
        return sum(member.state == "diverged" for member in self.members)

    @property
    def is_complete(self) -> bool:
        """Whether it can be the best."""
        return self.merit is not None and self.num_diverged == 0


@dataclass(frozen=True)
class Answer:
    """Every setting in the order of the grid. `by_quality`: what is judged by; `sign` makes its greatest the best."""

    rows: Sequence[Row]
    members: Sequence[Member]
    score_name: str
    by_quality: bool
    sign: float

    @staticmethod
    def of(members: Sequence[Member], score_name: str, *, higher_is_better: bool) -> Answer:
        """The answer that these members give."""
        found: dict[str, list[Member]] = {}
        for member in members:
            found.setdefault(repr(dict(member.settings)), []).append(member)
        rows = [_row(each, score_name.rpartition(".")[2]) for each in found.values()]
        by_quality = all(row.quality is not None for row in rows if row.score is not None)
        rows = [replace(row, merit=row.quality if by_quality else row.score) for row in rows]
        sign = 1.0 if by_quality or higher_is_better else -1.0
        best = next((row for row in _ranked(rows, sign) if row.is_complete), None)
        judged = []
        for row in rows:
            known = best is not None and row is not best and row.is_complete and _have_noise(row, best)
            close = _is_close(row, best) if known and best is not None else None
            judged.append(replace(row, is_best=row is best, is_close=close))
        return Answer(judged, members, score_name, by_quality, sign)

    def ranked(self) -> list[Row]:
        """The rows by merit, the best first; those without one last."""
        return _ranked(self.rows, self.sign)

    @property
    def has_validation_score(self) -> bool:
        """Whether the score on the validation rows is known, and another than the score."""
        return any(row.validation not in (None, row.score) for row in self.rows)

    @property
    def best_row(self) -> Row | None:
        return next((row for row in self.rows if row.is_best), None)

    @property
    def best(self) -> int | None:
        """The member that stands for the answer: of the best setting, the seed with the best merit."""
        row = self.best_row
        if row is None:
            return None

        def merit(member: Member) -> float:
            value = member.quality if self.by_quality else member.score
            return -math.inf if value is None else self.sign * value

        return list(self.members).index(max(row.members, key=merit))

    def to_json(self) -> JsonObject:
        """sweep.json."""
        return {
            "members": [member.to_json() for member in self.members],
            "best": self.best,
            "score": self.score_name,
            "answer": self.sentence(),
            "rows": [_row_json(row) for row in self.rows],
        }

    def sentence(self) -> str:
        """'0.001 is best; 0.0003 is within noise; nothing above 0.003 survived'."""
        best = self.best_row
        if best is None:
            unfinished = sum(member.state in ("waiting", "stopped") for member in self.members)
            if unfinished:
                return f"{unfinished} of {len(self.members)} runs are not finished"
            if all(member.state == "diverged" for member in self.members):
                return "no setting survived"
            if all(row.num_diverged for row in self.rows):
                return "no setting survived with all of its seeds"
            return f"no setting has a {self.score_name} to be judged by"
        names = [row.settings for row in self.rows]
        says = _shortener(names)
        parts = [f"{says(best.settings)} is best"]
        if close := [says(row.settings) for row in self.rows if row.is_close]:
            named = " and ".join(few(close))
            parts.append(f"{named} {'is' if len(close) == 1 else 'are'} within noise of it")
        elif any(row.is_close is False for row in self.rows):
            parts.append("nothing else is within noise of it")
        elif any(row.merit is not None for row in self.rows if row is not best):
            parts.append("with one seed each, how much of that is noise is not known")
        return "; ".join([*parts, *self._losses(says)])

    def _losses(self, says: Callable[[Mapping[str, Any]], str]) -> list[str]:
        """What diverged, and what is not finished."""
        gone = [row for row in self.rows if row.num_diverged]
        waiting = sum(member.state in ("waiting", "stopped") for member in self.members)
        unfinished = [f"{waiting} of {len(self.members)} runs are not finished"] if waiting else []
        if not gone:
            return unfinished
        for key in gone[0].settings:
            values = [row.settings[key] for row in self.rows]
            lost = {row.settings[key] for row in gone} if are_numbers(values) else set()
            kept = [value for value in values if value not in lost]
            all_lost = all(
                row.num_diverged == len(row.members) for row in self.rows if row.settings[key] in lost
            )
            if lost and kept and min(lost) > max(kept) and all_lost:
                return [
                    f"nothing above {key.rpartition('.')[2]} = {value_text(max(kept))} survived",
                    *unfinished,
                ]
        named = [f"{says(row.settings)} ({row.num_diverged} of {len(row.members)})" for row in gone]
        return [f"diverged: {', '.join(few(named))}", *unfinished]


def _row(members: Sequence[Member], key: str) -> Row:
    finished = [member for member in members if member.state == "finished"]
    validations = [member.validation or {} for member in finished]
    return Row(
        members[0].settings,
        members,
        Figure.of([each.get("loss") for each in validations]),
        Figure.of([each.get("scores", {}).get(key) for each in validations]),
        Figure.of([member.quality for member in finished]),
        Figure.of([member.score for member in finished]),
    )


def _ranked(rows: Sequence[Row], sign: float) -> list[Row]:
    """By merit, the best first; those without one last."""

    def merit(row: Row) -> float:
        return -math.inf if row.merit is None else sign * row.merit.mean

    return sorted(rows, key=merit, reverse=True)


def _have_noise(*rows: Row) -> bool:
    """Whether it is known how much the seed matters to each."""
    return all(row.merit is not None and row.merit.std is not None for row in rows)


def _is_close(row: Row, best: Row) -> bool:
    """Whether the two means do not differ at the level of 95% (Welch's t-test)."""
    a, b = row.merit, best.merit
    if a is None or b is None:
        return False
    if a.std == 0 and b.std == 0:
        return a.mean == b.mean
    return welch_p(a.values, b.values) > 1 - _LEVEL


def welch_p(a: Sequence[float], b: Sequence[float]) -> float:
    """How likely means differ so much or more by chance, the variances being others: scipy.stats.ttest_ind, which takes
    seconds to import. Each has two values or more, and not all of them are alike."""
    from scipy.special import stdtr

    errors = [statistics.variance(values) / len(values) for values in (a, b)]
    t = (statistics.fmean(a) - statistics.fmean(b)) / math.sqrt(sum(errors))
    weights = [error**2 / (len(values) - 1) for error, values in zip(errors, (a, b), strict=True)]
    return 2 * float(stdtr(sum(errors) ** 2 / sum(weights), -abs(t)))


def _shortener(settings: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], str]:
    """How a setting is called: by its values in which not all are alike."""
    keys = [key for key in settings[0] if len({repr(each[key]) for each in settings}) > 1]
    return lambda each: settings_text({key: each[key] for key in keys}) or "the recipe"


def _row_json(row: Row) -> JsonObject:
    return {
        "overrides": dict(row.settings),
        "seeds": [member.seed for member in row.members],
        "loss": _figure_json(row.loss),
        "validation": _figure_json(row.validation),
        "score": _figure_json(row.score),
        "diverged": row.num_diverged,
        "best": row.is_best,
        "within_noise": row.is_close,
    }


def _figure_json(figure: Figure | None) -> JsonObject | None:
    return None if figure is None else {"mean": figure.mean, "std": figure.std, "half_interval": figure.half}
