"""Durations, sizes, seeds and lengths, as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lorafit.cli.parsing import (
    parse_cell,
    parse_duration,
    parse_length,
    parse_names,
    parse_seeds,
    parse_size,
    parse_table,
)
from lorafit.errors import RecipeError

GOOD: dict[Callable[[str, str], Any], dict[str, Any]] = {
    parse_duration: {
        "90": 90,
        "90s": 90,
        "15m": 900,
        "1.5h": 5400,
        "2d": 172800,
        "30:00": 1800,
        "1:30:00": 5400,
    },
    parse_size: {
        "5GB": 5_000_000_000,
        "500 MB": 500_000_000,
        "1.5kb": 1500,
        "2GiB": 2 * 1024**3,
        "7": 7,
    },
    parse_seeds: {"0,1,2": (0, 1, 2), " 3 , 0": (3, 0), "7": (7,)},
    parse_cell: {"GPT-2 M (LoRA)/e2e": ("GPT-2 M (LoRA)", "e2e"), "A / b": ("A", "b")},
    parse_length: {"epochs=40": "train.epochs=40", "max_steps=9": "train.max_steps=9"},
}
BAD: dict[Callable[[str, str], Any], tuple[str, ...]] = {
    parse_duration: ("", "soon", "-5", "1:2:3", "5 weeks"),
    parse_size: ("", "0", "0GB", "many", "5 TB", "-1", "1e9", "5GB extra"),
    parse_seeds: ("", "0,x", "0,0", "-1", "0,"),
    parse_cell: ("", "GPT-2 M (LoRA)"),
    parse_length: ("", "40", "batch_size=4"),
}


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [(parse, text, value) for parse, cases in GOOD.items() for text, value in cases.items()],
)
def test_what_is_understood(parse: Callable[[str, str], Any], text: str, value: Any) -> None:
    assert parse("--option", text) == value


@pytest.mark.parametrize(("parse", "text"), [(parse, text) for parse, texts in BAD.items() for text in texts])
def test_anything_else_names_the_option_and_an_example(parse: Callable[[str, str], Any], text: str) -> None:
    with pytest.raises(RecipeError, match=r"^--option .*: (must (be|read) |names a seed twice)"):
        parse("--option", text)


def test_names_and_tables() -> None:
    assert parse_names("rte, mrpc,,") == ("rte", "mrpc")
    assert parse_names(None) == parse_names("") == ()
    assert parse_table("Table 2") == parse_table("table2") == parse_table("2") == "2"
