"""The published tables are written down as the paper prints them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lorafit.paper import TABLES
from lorafit.paper.published import Figure, read_rows


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


def test_figures_and_margins_are_read_as_printed() -> None:
    assert TABLES["3"].row("GPT-2 M (Adapter-H)").figures[:2] == (Figure(67.3, 0.6), Figure(8.5, 0.07))
    assert TABLES["14"].row("GPT-2 M (FT-Top2)").figures[6] == Figure(0.99)
    (row,) = read_rows("A | B * | 1M | - | 2.5±.25", num_figures=2)
    assert row.label == "A (B)"
    assert (row.method, row.marks) == ("B", "*")
    assert row.figures == (None, Figure(2.5, 0.25))
    with pytest.raises(ValueError, match="1 figures instead of 2"):
        read_rows("A | B | 1M | 2", num_figures=2)


def test_a_recipe_s_figures_are_on_the_scale_of_the_scores() -> None:
    assert TABLES["3"].scores("GPT-2 M (LoRA)", "e2e") == {
        "bleu": 70.4,
        "nist": 8.85,
        "meteor": 0.468,
        "rouge_l": 0.718,
        "cider": 2.53,
    }
    assert TABLES["2"].scores("DeBERTa XXL (LoRA)", "cola") == {"matthews": 0.724}
    assert TABLES["14"].scores("GPT-2 L (LoRA)", "webnlg")["unseen.bleu"] == 48.4


def test_reports_need_no_torch() -> None:
    code = "import lorafit.paper.tables, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
