"""Aggregation over seeds, and the verdict on a cell."""

from __future__ import annotations

import pytest

from lorafit.paper.cells import Cell, aggregate, spread
from lorafit.paper.published import Column, Figure


def cell(ours: float | None, paper: Figure | None, digits: int = 1, higher: bool = True) -> Cell:
    column = Column("BLEU", "e2e", "bleu", 1, digits, higher_is_better=higher)
    return Cell(column, paper, (), (), ours, None, "e2e_gpt2m")


@pytest.mark.parametrize(
    ("ours", "paper", "verdict", "difference"),
    [
        (70.34, Figure(70.4, 0.1), "within", -0.1),
        (70.24, Figure(70.4, 0.1), "off", -0.2),
        (70.5499, Figure(70.4, 0.1), "within", 0.1),
        (70.44, Figure(70.4), "within", 0.0),
        (70.46, Figure(70.4), "off", 0.1),
        (70.44, Figure(70.4, 0.0), "within", 0.0),
        (70.4, None, "not published", None),
        (None, Figure(70.4), "not run", None),
    ],
)
def test_the_verdict_is_on_the_rounded_figure(
    ours: float | None, paper: Figure | None, verdict: str, difference: float | None
) -> None:
    made = cell(ours, paper)
    assert made.verdict == verdict
    assert made.difference == difference


def test_better_follows_the_direction_of_the_score() -> None:
    assert cell(71.0, Figure(70.4)).better
    assert not cell(71.0, Figure(70.4), higher=False).better
    assert not cell(70.4, Figure(70.4)).better


def test_median_and_mean_over_seeds() -> None:
    values = (1.0, 2.0, 6.0)
    assert aggregate(values, "median") == 2.0
    assert aggregate(values, "mean") == 3.0
    assert aggregate((), "mean") is None
    assert spread(values) == pytest.approx(7**0.5)  # ((−2)² + (−1)² + 3²) / 2
    assert spread((1.0,)) is None
