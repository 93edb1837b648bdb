"""Every shipped recipe is a valid recipe, and stands for a cell of the paper or for files of one's own."""

from __future__ import annotations

from typing import Any

import pytest

from lorafit.methods import METHODS
from lorafit.paper import TABLES
from lorafit.recipe import read_layers, shipped_recipes
from lorafit.run.plan import load_plan
from lorafit.tasks import SECTIONS

DOCUMENTS: dict[str, dict[str, Any]] = {
    name: document
    for name, path in shipped_recipes().items()
    if "paper" in (document := read_layers(path).document)
}
WARM = ("mrpc", "rte", "stsb")

# Trained parameters by hand: 2 · (matrices) · d · r for LoRA, section 6 of the reproduction notes for the others.
COUNTS = {
    "GPT-2 M (LoRA)": 393_216,
    "GPT-2 L (LoRA)": 737_280,
    "GPT-2 M (FT)": 354_823_168,
    "GPT-2 L (FT)": 774_030_080,
    "GPT-2 M (FT-Top2)": 25_192_448,
    "GPT-2 M (Adapter-L 0.37M)": 368_784,
    "GPT-2 M (Adapter-L 11.09M)": 11_089_152,
    "GPT-2 M (Adapter-L 11M)": 11_089_152,
    "GPT-2 M (Adapter-H)": 11_064_576,
    "GPT-2 L (Adapter-L 0.88M)": 875_808,
    "GPT-2 L (Adapter-L 23.00M)": 23_002_848,
    "GPT-2 L (Adapter-L 23M)": 23_002_848,
    "RoBERTa base (LoRA)": 294_912,
    "RoBERTa base (BitFit)": 102_144,
    "RoBERTa base (Adapter-D 0.3M)": 304_320,
    "RoBERTa base (Adapter-D 0.9M)": 894_528,
    "RoBERTa large (LoRA)": 786_432,
    "RoBERTa large (LoRA †)": 786_432,
    "RoBERTa large (Adapter-P 3.0M †)": 3_171_840,
    "RoBERTa large (Adapter-P 0.8M †)": 811_392,
    "RoBERTa large (Adapter-H 6.0M †)": 6_343_680,
    "RoBERTa large (Adapter-H 0.8M †)": 835_968,
    "DeBERTa XXL (LoRA)": 4_718_592,
    **{f"GPT-2 M (LoRA r={r})": 98_304 * r for r in (1, 2, 8, 16, 32, 64, 128, 256, 512, 1024)},
}


def known(document: dict[str, Any]) -> bool:
    """Whether this lorafit has the recipe's method and task."""
    return document["method"]["name"] in METHODS and document["task"]["name"] in SECTIONS


def one_of_each_row() -> list[str]:
    """A recipe for each base and method: planning a big base takes a second, and the tasks of a row share all of it."""
    chosen: dict[str, str] = {}
    for name, document in DOCUMENTS.items():
        if known(document):
            chosen.setdefault(document["paper"]["row"], name)
    return sorted(chosen.values())


@pytest.mark.parametrize("name", one_of_each_row())
def test_every_row_plans_with_the_paper_s_parameter_count(name: str) -> None:
    plan = load_plan(name, [])
    row = plan.recipe.paper.row
    assert plan.schedule.num_steps > 0
    if row in COUNTS:
        assert plan.num_trained == COUNTS[row]


def test_recipes_that_stand_for_no_cell_lie_at_the_top() -> None:
    others = {name: path for name, path in shipped_recipes().items() if name not in DOCUMENTS}
    assert {path.parent.name for path in others.values()} == {"recipes"}


def test_every_cell_of_every_table_has_exactly_one_recipe() -> None:
    cells = [(d["paper"]["table"], d["paper"]["row"], d["task"]["name"]) for d in DOCUMENTS.values()]
    wanted = [
        (table.number, row.label, task)
        for table in TABLES.values()
        for row in table.rows
        for task in table.tasks
        if row.label not in table.same_run
    ]
    assert sorted(cells) == sorted(wanted)


def test_published_figures_are_those_of_the_paper() -> None:
    for document in DOCUMENTS.values():
        paper = document["paper"]
        assert paper["scores"] == TABLES[paper["table"]].scores(paper["row"], document["task"]["name"])


def test_only_lora_without_dagger_starts_from_mnli() -> None:
    for name, document in DOCUMENTS.items():
        warm = document["method"]["name"] == "lora" and "†" not in document["paper"]["row"]
        expected = warm and document["task"]["name"] in WARM
        assert ("init_from" in document["method"]) == expected, name
        if expected:
            mnli = document["method"]["init_from"].split("/")[1]
            source = DOCUMENTS[mnli]
            assert source["model"]["base"] == document["model"]["base"]
            assert {k: source["method"][k] for k in ("r", "alpha", "targets")} == {
                k: document["method"][k] for k in ("r", "alpha", "targets")
            }
