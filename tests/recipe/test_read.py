"""A recipe is read whole or refused with every fault named; what is written is read back equal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lorafit.errors import RecipeError
from lorafit.recipe import assignment, differing_keys, parse_assignment, recipe_hash, to_toml
from lorafit.run.recipes import open_recipe

GOOD = """
[model]
base = "some/base"
[method]
name = "lora"
r = 4
[task]
name = "e2e"
[train]
epochs = 2
learning_rate = 1e-3
"""


@pytest.fixture
def write(tmp_path: Path):
    def writing(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return writing


def read(path: Path, *overrides: str):
    return open_recipe(path, overrides)


def faults(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read(path, *overrides)
    return str(caught.value).splitlines()


def test_what_is_written_is_read_back_equal(write, tmp_path: Path) -> None:
    recipe = read(write(GOOD), "decode.eos_token_ids=[50256, 628]", "paper.scores={bleu=70.4}")
    again = tmp_path / "again.toml"
    again.write_text(to_toml(recipe))
    assert read(again) == recipe
    assert recipe_hash(read(again)) == recipe_hash(recipe)


def test_every_fault_is_reported_at_once(write) -> None:
    path = write(
        GOOD.replace("r = 4", "rnak = 4")
        .replace('base = "some/base"', "")
        .replace("epochs = 2", 'epochs = "two"')
        + "warmup_ratio = 1.5\n[tarin]\n"
    )
    lines = faults(path)
    assert any("[method] rnak: unknown key; did you mean 'r'?" in line for line in lines)
    assert any("[model] base: missing" in line for line in lines)
    assert any("[train] epochs: must be a number" in line for line in lines)
    assert any("[train] warmup_ratio: must be less than or equal to 1" in line for line in lines)
    assert any("[tarin]: unknown section; did you mean 'train'?" in line for line in lines)
    assert all(line.startswith(str(path)) for line in lines)
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("lora_alpha", "alpha"), ("rank", "r"), ("target_modules", "targets"), ("lora_dropout", "dropout")],
)
def test_the_names_of_other_programs_are_understood(write, theirs: str, ours: str) -> None:
    assert f"did you mean '{ours}'?" in faults(write(GOOD.replace("r = 4", f"{theirs} = 4")))[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("warmup_steps = 1\nwarmup_ratio = 0.1", "exclude each other"),
        ("micro_batch_size = 9", "larger than 'batch_size'"),
        ("learning_rate = 0.0", "greater than 0"),
        ("seed = -1", "greater than or equal to 0"),
        ("label_smoothing = 1.0", "less than 1"),
        ("shuffle = 1", "true or false"),
        ("batch_size = 2.5", "whole number"),
    ],
)
def test_values_out_of_range(write, line: str, message: str) -> None:
    text = GOOD.replace("learning_rate = 1e-3", "") if line.startswith("learning") else GOOD
    assert message in "\n".join(faults(write(text + line + "\n")))


def test_neither_epochs_nor_steps(write) -> None:
    assert "needs 'epochs' or 'max_steps'" in faults(write(GOOD.replace("epochs = 2", "")))[0]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("train.learning_rate=1e-4", ("train", "learning_rate", 1e-4)),
        ("model.base=gpt2", ("model", "base", "gpt2")),
        ('model.base="gpt2"', ("model", "base", "gpt2")),
        ("model.base=/a path/with=signs", ("model", "base", "/a path/with=signs")),
        ("data.max_length=512", ("data", "max_length", 512)),
        ("train.shuffle=false", ("train", "shuffle", False)),
        ('method.targets=["query", "key"]', ("method", "targets", ["query", "key"])),
        ("model.revision=2021-09-15", ("model", "revision", "2021-09-15")),
    ],
)
def test_overrides(text: str, parsed: tuple) -> None:
    assert parse_assignment(text) == parsed


@pytest.mark.parametrize(
    "value",
    [
        1,
        1e-4,
        True,
        "1",
        'two\nlines "quoted" \u00e9 = {',
        [1, 2],
        ["a", ["b"]],
        [],
        {"bleu": 70.4, "a b.c": "x"},
        {},
    ],
)
def test_values_as_overrides(value: object) -> None:
    assert parse_assignment(assignment("section.key", value)) == ("section", "key", value)


def test_values_that_toml_writes_otherwise() -> None:
    assert parse_assignment(assignment("data.train", Path("/a/b c"))) == ("data", "train", "/a/b c")
    assert parse_assignment(assignment("eval.metrics", ("bleu",))) == ("eval", "metrics", ["bleu"])
    assert assignment("train.max_steps", None) == "unset=train.max_steps"
    with pytest.raises(RecipeError, match=r"override train\.seed: \{1\} must be a text"):
        assignment("train.seed", {1})


@pytest.mark.parametrize("text", ["train", "train.seed", "=1", "seed=1", ".seed=1", "train.=1"])
def test_an_override_that_is_none(text: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(f"override {text}: must read section.key=value")):
        parse_assignment(text)


def test_a_fault_in_an_override_names_the_override(write) -> None:
    assert faults(write(GOOD), "train.sede=1")[0].startswith(
        "override train.sede: unknown key; did you mean 'seed'?"
    )


def test_an_override_wins_and_decides_the_hash(write) -> None:
    path = write(GOOD)
    changed = read(path, "train.seed=7")
    assert changed.train.seed == 7
    assert recipe_hash(changed) != recipe_hash(read(path))
    assert differing_keys(changed, read(path)) == ["train.seed: 0 -> 7"]


@pytest.mark.parametrize("content", [b"[model", b"\xff\xfe", b"a = 1\na = 2"])
def test_what_is_no_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    assert str(path) in faults(path)[0]


def test_an_unknown_method(write) -> None:
    line = faults(write(GOOD.replace('"lora"', '"lroa"')))[0]
    assert "[method] name: unknown method 'lroa'" in line
    assert "did you mean 'lora'?" in line
