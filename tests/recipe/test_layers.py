"""A recipe may extend another one: its keys win, the rest is inherited, and every fault names the file it stands in."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafit.errors import RecipeError
from lorafit.methods import METHODS, AdapterTuning, LoRA
from lorafit.recipe import Recipe, to_toml
from lorafit.run.recipes import open_recipe

PARENT = """
name = "parents-own"
[model]
base = "some/base"
[method]
name = "lora"
r = 4
alpha = 32
[task]
name = "e2e"
[train]
epochs = 2
learning_rate = 1e-3
warmup_ratio = 0.1
[paper]
table = "3"
row = "GPT-2 M (LoRA)"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a parent in it."""
    (tmp_path / "parent.toml").write_text(PARENT)
    return tmp_path


def read(folder: Path, text: str, *overrides: str) -> Recipe:
    path = folder / "child.toml"
    path.write_text(text if "extends" in text else f'extends = "parent.toml"\n{text}')
    return open_recipe(path, overrides)


def faults(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read(folder, text, *overrides)
    return str(caught.value).splitlines()


def test_what_only_extends_is_complete_and_has_a_name_of_its_own(folder: Path) -> None:
    parent, child = open_recipe(folder / "parent.toml"), read(folder, "")
    assert (parent.name, child.name) == ("parents-own", "child")
    same = {"model", "method", "task", "data", "train", "decode", "eval"}
    assert child.model_dump(include=same) == parent.model_dump(include=same)


def test_the_childs_keys_win_and_the_others_are_inherited(folder: Path) -> None:
    child = read(folder, "[method]\nr = 8\n[train]\nepochs = 5\n[decode]\nnum_beams = 1")
    assert child.method.model_dump(include={"r", "alpha"}) == {"r": 8, "alpha": 32.0}
    assert (child.train.epochs, child.train.learning_rate, child.decode.num_beams) == (5, 1e-3, 1)


def test_another_name_replaces_the_section(folder: Path) -> None:
    assert read(folder, '[method]\nname = "bitfit"').method == METHODS["bitfit"]()
    assert read(folder, '[method]\nname = "lora"\nr = 8').method.model_dump()["alpha"] == 32
    assert read(folder, "", "method.name=adapter", "method.size=3").method == AdapterTuning(size=3)


def test_what_the_parent_stands_for_is_not_inherited(folder: Path) -> None:
    assert read(folder, "").paper.table is None
    assert read(folder, '[paper]\ntable = "18"').paper.row is None


def test_unset_keys_have_their_defaults(folder: Path) -> None:
    in_file = 'unset = ["train.warmup_ratio", "method.alpha"]\n[train]\nwarmup_steps = 7'
    for child in (
        read(folder, in_file),
        read(folder, "", "unset=train.warmup_ratio", "train.warmup_steps=7", "unset=method.alpha"),
    ):
        assert (child.train.warmup_ratio, child.train.warmup_steps) == (None, 7)
        assert child.method == LoRA(r=4)


def test_an_override_may_unset_what_stands_in_the_recipe_itself(folder: Path) -> None:
    recipe = open_recipe(folder / "parent.toml", ["unset=train.warmup_ratio"])
    assert recipe.train.warmup_ratio is None


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (
            'unset = ["train.warmup_raito"]',
            (),
            "child.toml unset: there is no 'train.warmup_raito' to unset; did you",
        ),
        ('unset = ["train"]', (), "child.toml unset: there is no 'train' to unset"),
        ('unset = ["paper.row"]', (), "child.toml unset: there is no 'paper.row' to unset"),
        ('unset = "train.epochs"', (), "child.toml unset: must be an array of keys"),
        (
            "",
            ("unset=train.warmup_steps",),
            "override: there is no 'train.warmup_steps' to unset; did you mean 'train.",
        ),
        ("extends = 3", (), "child.toml extends: must be a string"),
        ('extends = "nowhere.toml"', (), "child.toml extends: nowhere.toml: no such recipe file"),
        ('extends = "e2e_gtp2m"', (), "no shipped recipe of that name; did you mean 'e2e_gpt2m'?"),
        ('extends = "child.toml"', (), "'child.toml' is not complete, it extends 'child.toml' itself"),
    ],
)
def test_what_cannot_be_followed(folder: Path, text: str, overrides: tuple[str, ...], message: str) -> None:
    lines = faults(folder, text, *overrides)
    assert len(lines) == 1
    assert message in lines[0]


def test_nothing_can_be_unset_where_nothing_is_inherited(folder: Path) -> None:
    path = folder / "alone.toml"
    path.write_text('unset = ["train.seed"]\n' + PARENT)
    with pytest.raises(RecipeError, match=r"alone\.toml unset: the recipe extends no other"):
        open_recipe(path)


def test_one_level_only(folder: Path) -> None:
    (folder / "middle.toml").write_text('extends = "parent.toml"')
    lines = faults(folder, 'extends = "middle.toml"')
    assert lines == [
        f"{folder / 'child.toml'} extends: 'middle.toml' is not complete, it extends 'parent.toml' itself; "
        "extend 'parent.toml' and set here what 'middle.toml' changes"
    ]


def test_a_fault_names_the_file_in_which_it_stands(folder: Path) -> None:
    parent = folder / "parent.toml"
    parent.write_text(PARENT.replace("r = 4", "rank = 4").replace('base = "some/base"', ""))
    lines = faults(folder, "[train]\nepochs = 0\n[decoed]\n", "train.seed=-1")
    child = folder / "child.toml"
    assert sorted(lines) == sorted(
        [
            f"{parent} [method] rank: unknown key; did you mean 'r'?",
            f"{child} [model] base: missing, and has no default",
            f"{child} [train] epochs: must be greater than 0; got 0",
            f"{child} [decoed]: unknown section; did you mean 'decode'?",
            "override train.seed: must be greater than or equal to 0; got -1",
        ]
    )


def test_a_parent_that_is_no_recipe_is_named(folder: Path) -> None:
    (folder / "parent.toml").write_text("[model")
    assert faults(folder, "")[0].startswith(f"{folder / 'parent.toml'}: not valid TOML")
    (folder / "parent.toml").write_text("train = 3" + PARENT.replace("[train]", "[eval]"))
    assert f"{folder / 'parent.toml'} [train]: must be a section" in "\n".join(
        faults(folder, "[train]\nepochs = 1")
    )


def test_keys_that_exclude_each_other_tell_which_one_is_inherited(folder: Path) -> None:
    (line,) = faults(folder, "[train]\nwarmup_steps = 7")
    assert "'warmup_steps' and 'warmup_ratio' exclude each other; keep one" in line
    assert line.endswith('; unset = ["train.warmup_ratio"] drops what is inherited')


def test_a_shipped_recipe_may_be_the_parent_from_anywhere(tmp_path: Path) -> None:
    child = read(tmp_path, 'extends = "e2e_gpt2m"\n[train]\nseed = 5')
    parent = open_recipe("e2e_gpt2m", ["train.seed=5"])
    assert (child.train, child.method, child.decode) == (parent.train, parent.method, parent.decode)


def test_what_is_written_is_the_whole_recipe(folder: Path) -> None:
    child = read(folder, 'unset = ["train.warmup_ratio"]\n[method]\nr = 8')
    run = folder / "run"
    run.mkdir()
    (run / "recipe.toml").write_text(to_toml(child))
    assert open_recipe(run / "recipe.toml") == child
    assert read(folder, 'extends = "run/recipe.toml"').method == child.method
