"""`lorafit recipes` finds recipes by table, task, method and base, and prints what one can type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorafit.errors import RecipeError
from lorafit.recipe import find_recipe, list_recipes, select_recipes, shipped_recipes


def names(**wanted: str) -> set[str]:
    return {recipe.name for recipe in select_recipes(**wanted)}


def test_the_list_tells_what_a_recipe_stands_for() -> None:
    by_name = {recipe.name: recipe for recipe in list_recipes()}
    assert by_name.keys() == shipped_recipes().keys()
    line = by_name["e2e_gpt2m"]
    assert (line.task, line.base, line.method) == ("e2e", "openai-community/gpt2-medium", "lora")
    assert (line.path, line.table, line.row) == ("e2e_gpt2m.toml", "3", "GPT-2 M (LoRA)")
    line = by_name["cola_roberta_base_bitfit"]
    assert (line.task, line.base, line.method) == ("cola", "FacebookAI/roberta-base", "bitfit")
    assert line.path == "table2/roberta-base/cola_roberta_base_bitfit.toml"


def test_what_people_type_comes_first_and_numbers_are_in_order() -> None:
    paths = [Path(recipe.path) for recipe in list_recipes()]
    depths = [len(path.parts) > 1 for path in paths]
    assert depths == sorted(depths)
    assert 10 <= depths.count(False) <= 20
    ranks = [path.stem for path in paths if path.parent.name == "table18"]
    assert ranks == [f"e2e_gpt2m_r{r}" for r in (1, 2, 8, 16, 32, 64, 128, 256, 512, 1024)]


def test_filters() -> None:
    assert names(table="2", task="rte", method="lora", base="roberta-large") == {
        "rte_roberta_large",
        "rte_roberta_large_dagger",
    }
    assert len(names(table="18")) == 10
    assert names(table="18", task="dart") == set()
    assert names(base="GPT2-large", method="prefix") == {
        f"{task}_gpt2l_prefix" for task in ("e2e", "dart", "webnlg")
    }


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"table": "4"}, "no shipped recipe has the table '4'; one of 13, 14, 18, 2, 3"),
        ({"task": "rtee"}, "qnli, qqp, regression, rte, sst2, stsb, webnlg; did you mean 'rte'?"),
        ({"method": "lra"}, "did you mean 'lora'?"),
        ({"base": "roberta-xl"}, "no shipped recipe has the base 'roberta-xl'"),
    ],
)
def test_a_name_that_no_recipe_has(wanted: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        select_recipes(**wanted)
    assert message in str(caught.value)


def test_no_name_is_cut_short(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = cli("recipes", "--table", "table2", "--task", "cola").stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        recipe.path for recipe in select_recipes(table="2", task="cola")
    ]
    assert all(find_recipe(line.split()[0]).is_file() for line in lines)
    assert "no shipped recipe" in cli("recipes", "--table", "18", "--task", "dart").stdout


def test_json_has_all_of_it(cli) -> None:
    listed = json.loads(cli("recipes", "--method", "bitfit", "--json").stdout)
    assert listed == [vars(recipe) for recipe in select_recipes(method="bitfit")]
    assert len(listed) == 8
