"""Grids become points, and points become folders and overrides."""

from __future__ import annotations

import pytest

from lorafit.cli.parsing import parse_seeds
from lorafit.errors import RecipeError
from lorafit.recipe import SweepSection
from lorafit.sweep.grid import Point, parse_axis, points, section_of, settings_text


def test_every_combination_once_and_the_seed_fastest() -> None:
    section = SweepSection(grid={"train.learning_rate": (1e-4, 1e-3), "method.r": (2, 8)}, seeds=(5, 6))
    found = points(section)
    assert len(found) == 8
    assert found[1] == Point({"train.learning_rate": 1e-4, "method.r": 2}, 6)
    assert found[2].overrides == ["train.learning_rate=0.0001", "method.r=8", "train.seed=5"]
    assert len({point.folder(point.seed or 0) for point in found}) == 8
    assert str(found[2].folder(5)) == "learning_rate=0.0001_r=8/seed-5"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.learning_rate=1e-4,3e-4", ("train.learning_rate", (1e-4, 3e-4))),
        ("method.init=loralib,paper-gpt2", ("method.init", ("loralib", "paper-gpt2"))),
        (
            'method.targets=["query","value"],["query"]',
            ("method.targets", (("query", "value"), ("query",))),
        ),
        ("train.shuffle=true,false", ("train.shuffle", (True, False))),
        (
            'method.r={ "layers.0.*" = 2, default = 4 },8',
            ("method.r", ({"layers.0.*": 2, "default": 4}, 8)),
        ),
    ],
)
def test_an_axis_reads_as_overrides_do(text: str, expected: object) -> None:
    assert parse_axis(text) == expected


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (SweepSection(), "nothing varies"),
        (SweepSection(grid={"train.seed": (1, 2)}), "train.seed is varied by seeds"),
        (SweepSection(grid={"method.r": (2, 2)}), "each of them once"),
    ],
)
def test_what_cannot_be_meant_is_refused(section: SweepSection, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        points(section)


def test_a_table_is_a_value_like_any_other() -> None:
    ranks = {"layers.0.*": 2, "default": 4}
    found = points(section_of({"method.r": (ranks, 8)}, ()))
    assert found[0].overrides == ['method.r={"layers.0.*" = 2, "default" = 4}']
    assert settings_text(found[0].settings) == "r = layers.0.* 2+default 4"
    assert str(found[0].folder(0)) == "r=layers.0.- 2+default 4/seed-0"


def test_what_no_key_can_be_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"method.targets takes texts, numbers, .*; got \[\['a'\]\]"):
        section_of({"method.r": (2,), "method.targets": ("b", [["a"]])}, ())


def test_seeds_may_be_a_range() -> None:
    assert parse_seeds("--seeds", "0..3,7") == (0, 1, 2, 3, 7)
    for text in ("3..1", "0..9999999", "1,1..2", "a..b", ""):
        with pytest.raises(RecipeError):
            parse_seeds("--seeds", text)
