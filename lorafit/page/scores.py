"""Scores as a page shows them: with a confidence interval, beside the bare base's and the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lorafit.errors import LorafitError
from lorafit.metrics import METRICS
from lorafit.metrics.comparison import Interval, intervals
from lorafit.metrics.scorers import SCORERS, Scorer
from lorafit.page.run import Run
from lorafit.paper import TABLES, Column, Figure
from lorafit.paper.cells import Cell
from lorafit.paper.layout import published, verdict_text

_SAME = 1e-6  # relative: an interval belongs to a score that is its own


@dataclass(frozen=True)
class Marks:
    """Places of a score and of what it is compared with on a strip, in percent."""

    value: float
    base: float | None
    paper: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ScoreLine:
    """A score of the adapter on the scale of scores.json, and what stands beside it."""

    name: str
    value: float | None
    base: float | None
    interval: Interval | None
    reason: str  # why it could not be computed
    signature: str
    paper: str = ""  # as the paper prints it, on its own scale
    ours: str = ""  # on that scale
    verdict: str = ""
    is_within: bool = False
    is_headline: bool = False

    paper_value: float | None = None  # on our scale

    @property
    def marks(self) -> Marks | None:
        """Where it is drawn between the least and the greatest of what stands beside it; None where it stands alone."""
        ends = [self.interval.low, self.interval.high] if self.interval else []
        known = [value for value in (self.value, self.base, self.paper_value, *ends) if value is not None]
        low, high = min(known, default=0.0), max(known, default=0.0)
        if self.value is None or (self.base is None and self.paper_value is None) or high <= low:
            return None

        def place(value: float | None) -> float | None:
            return None if value is None else round(4 + 92 * (value - low) / (high - low), 2)

        at = place(self.value) or 0.0
        between = (place(self.interval.low), place(self.interval.high)) if self.interval else (None, None)
        return Marks(at, place(self.base), place(self.paper_value), *between)


@dataclass(frozen=True)
class ScoreTable:
    """All scores of a run; `row` names the paper's row where there is one; `method` says how intervals were found."""

    lines: Sequence[ScoreLine]
    row: str
    method: str

    @property
    def headline(self) -> ScoreLine | None:
        return next((line for line in self.lines if line.is_headline), None)

    def has(self, what: str) -> bool:
        """Whether any line has something to show in that place."""
        return any(getattr(line, what) not in (None, "") for line in self.lines)


def score_table(run: Run) -> ScoreTable:
    """The scores of a finished run; no lines of another."""
    scores, base = run.scores, run.base_scores
    found, method = _intervals(run)
    signatures, reasons = (run.result.get(key) or {} for key in ("signatures", "reasons"))
    published_cells, row = _published(run)
    lines = [
        _line(
            name,
            value,
            base.get(name),
            _own(found, name, value),
            {
                "reason": str(reasons.get(name) or reasons.get(_last(name)) or ""),
                "signature": str(signatures.get(name) or signatures.get(_last(name)) or ""),
            },
            published_cells.get(name),
            is_headline=name == run.headline,
        )
        for name, value in scores.items()
    ]
    return ScoreTable(lines, row, method if any(line.interval for line in lines) else "")


def scorer_of(run: Run) -> Scorer:
    """By which the run's texts are scored."""
    name = str(run.section("task").get("scorer", "plain"))
    return SCORERS.get(name, SCORERS["plain"])


def higher_is_better(name: str) -> bool:
    """Of a score by its flat name; of one that no metric gives, yes."""
    last = _last(name)
    return last != "loss" and next((m.higher_is_better for m in METRICS.values() if last in m.keys), True)


def _line(
    name: str,
    value: float | None,
    base: float | None,
    interval: Interval | None,
    texts: Mapping[str, str],
    cell: tuple[Column, Figure] | None,
    *,
    is_headline: bool,
) -> ScoreLine:
    line = ScoreLine(
        name, value, base, interval, texts["reason"], texts["signature"], is_headline=is_headline
    )
    if cell is None or value is None:
        return line
    column, figure = cell
    ours = value * column.factor
    compared = Cell(column, figure, (), (ours,), ours, None, None)
    return replace(
        line,
        paper=published(compared),
        ours=f"{ours:.{column.digits}f}",
        verdict=verdict_text(compared),
        is_within=compared.verdict == "within",
        paper_value=figure.value / column.factor,
    )


def _intervals(run: Run) -> tuple[dict[str, Interval], str]:
    _, predictions = run.predictions
    if not predictions:
        return {}, ""
    try:
        found = intervals(predictions, scorer_of(run), {_last(name) for name in run.scores})
    except LorafitError:  # rows without labels
        return {}, ""
    if not found.by_name:
        return {}, ""
    return (
        found.by_name,
        f"95 % of {found.num_samples:,} bootstrap samples of the {found.num_examples:,} examples",
    )


def _own(found: Mapping[str, Interval], name: str, value: float | None) -> Interval | None:
    """The interval of a score, where what was resampled is this very score."""
    interval = found.get(name.removeprefix("all."))
    if interval is None or value is None:
        return None
    return interval if abs(interval.value - value) <= _SAME * max(abs(value), 1.0) else None


def _published(run: Run) -> tuple[dict[str, tuple[Column, Figure]], str]:
    """The paper's figures by the name of our score, and where they stand; of a recipe without a row, those that it
    gives itself."""
    paper, task = run.section("paper"), str(run.section("task").get("name"))
    table = TABLES.get(str(paper.get("table")))
    row = next((row for row in table.rows if row.label == paper.get("row")), None) if table else None
    if table is None or row is None:
        given = paper.get("scores") or {}
        return {
            name: (Column("", task, name, 1, 2), Figure(float(value))) for name, value in given.items()
        }, ""
    cells = {
        column.score: (column, figure)
        for column, figure in zip(table.columns, row.figures, strict=False)
        if column.task == task and figure is not None
    }
    return cells, f"Table {table.number} of the LoRA paper, {row.label}"


def _last(name: str) -> str:
    return name.rpartition(".")[2]
