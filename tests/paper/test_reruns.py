"""Between the paper's figure and a wrong one lies what others got."""

from __future__ import annotations

import pytest

from lorafit.paper import TABLES
from lorafit.paper.cells import Cell
from lorafit.paper.layout import verdict_text
from lorafit.paper.reruns import RERUNS, WARNINGS


def cell_of(key: tuple[str, str, str, str], value: float | None) -> Cell:
    """The cell with a figure of ours."""
    number, label, task, score = key
    table = TABLES[number]
    place = next(i for i, column in enumerate(table.columns) if (column.task, column.score) == (task, score))
    published = table.row(label).figures[place]
    return Cell(table.columns[place], published, (), (), value, None, None, RERUNS[key])


E2E = ("3", "GPT-2 M (LoRA)", "e2e", "bleu")


@pytest.mark.parametrize(
    ("value", "band", "text"),
    [
        (70.4, "as in the paper", "within (+0.0)"),
        (70.9, "as in the paper", "off by +0.5"),
        (68.7, "as others get", "off by -1.7, as others get"),
        (69.8, "as others get", "off by -0.6, as others get"),
        (67.9, "wrong", "off by -2.5, wrong"),
        (None, None, "not run"),
    ],
)
def test_bands(value: float | None, band: str | None, text: str) -> None:
    cell = cell_of(E2E, value)
    assert (cell.band, verdict_text(cell)) == (band, text)


def test_every_figure_of_others_has_a_cell_and_a_source() -> None:
    for key, reruns in RERUNS.items():
        assert cell_of(key, 1.0).published is not None, key
        assert all(rerun.source for rerun in reruns)
    for number, label, task in WARNINGS:
        assert TABLES[number].row(label)
        assert task in TABLES[number].tasks
