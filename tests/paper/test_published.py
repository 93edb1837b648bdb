"""Tables are read from text as the paper prints it."""

from __future__ import annotations

import pytest

from lorafit.paper import TABLES
from lorafit.paper.published import Figure, read_rows


def test_figures_and_margins_are_read_as_printed() -> None:
    (row,) = read_rows("A | B * | 1M | - | 2.5±.25", num_figures=2)
    assert row.label == "A (B)"
    assert (row.method, row.marks) == ("B", "*")
    assert row.figures == (None, Figure(2.5, 0.25))
    with pytest.raises(ValueError, match="1 figures instead of 2"):
        read_rows("A | B | 1M | 2", num_figures=2)


def test_two_rows_of_one_method_are_told_apart_by_their_size() -> None:
    rows = read_rows("A | B | 1M | 2\nA | B † | 1M | 3\nA | C | 1M | 4\nA | C | 2M | 5", num_figures=1)
    assert [row.label for row in rows] == ["A (B)", "A (B †)", "A (C 1M)", "A (C 2M)"]


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
