"""What lies under a recipe by the name of its task."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafit.run.recipes import open_recipe


@pytest.mark.parametrize(
    ("recipe", "order"),
    [
        ("own_classification", "bucketed"),
        ("own_regression", "bucketed"),
        ("own_generation", "random"),
        ("quickstart", "random"),
        ("stsb_roberta_base", "random"),
        ("e2e_gpt2m", "random"),
    ],
)
def test_own_rows_with_labels_are_bucketed_and_the_papers_are_not(recipe: str, order: str) -> None:
    assert open_recipe(recipe).train.batch_order == order


def test_a_recipe_decides_its_order(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "own_classification"\n[train]\nbatch_order = "random"\n')
    assert open_recipe(str(path)).train.batch_order == "random"
