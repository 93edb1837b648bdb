"""The published tables are written down as the paper prints them."""

from __future__ import annotations

import pytest

from lorafit.paper import TABLES
from lorafit.paper.published import Figure


def test_the_published_average_of_table_2_is_that_of_its_cells() -> None:
    """Every average agrees to its last digit, so no figure of the table is mistyped by more than 0.8."""
    for row in TABLES["2"].rows:
        *cells, average = row.figures
        assert average is not None
        mean = sum(figure.value for figure in cells if figure is not None) / 8
        assert mean == pytest.approx(average.value, abs=0.1001), row.label


def test_a_row_is_found_by_a_label_that_is_its_own() -> None:
    for table in TABLES.values():
        labels = [row.label for row in table.rows]
        assert len(set(labels)) == len(labels)
        assert {row.label for row in table.variants} <= set(labels)
        for row in (*table.rows, *table.variants):
            assert table.row(row.label).num_trained == row.num_trained


def test_figures_are_the_printed_ones() -> None:
    assert TABLES["3"].row("GPT-2 M (Adapter-H)").figures[:2] == (Figure(67.3, 0.6), Figure(8.5, 0.07))
    assert TABLES["14"].row("GPT-2 M (FT-Top2)").figures[6] == Figure(0.99)
