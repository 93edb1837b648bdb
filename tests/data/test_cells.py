"""What a cell means: one thing in every format, or nothing that can be used."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafit.data.cells import name_of, number_of, repeated, shown, text_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    "value", [1, 1.0, "1", "1.0", "1e0", " 1 ", "01", "+1", "10e-1", "\ufeff1", "1.", Decimal("1.00")]
)
def test_a_whole_number_in_any_spelling_is_one_name(value: object) -> None:
    assert name_of(value) == "1"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, ""),
        (" ", ""),
        (True, "true"),
        ("True", "true"),
        ("FALSE", "false"),
        (-0.0, "0"),
        ("-0", "0"),
        (0.5, "0.5"),
        ("0.50", "0.5"),
        (".5", "0.5"),
        ("1_0", "1_0"),
        ("nan", "nan"),
        (" pos ", "pos"),
        ("e\u0301", "\xe9"),
        (10**30, "1" + "0" * 30),
        ("1" + "0" * 30, "1" + "0" * 30),
    ],
)
def test_the_name_of_a_cell(value: object, name: str) -> None:
    assert name_of(value) == name


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, "1e400", "9" * 5000, 10**400, [1], {}, "\ud83d", Decimal("NaN")],
)
def test_what_is_no_name(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected a name|too great|holds"):
        name_of(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("2.5", 2.5),
        (" 7 ", 7),
        ("1e400", math.inf),
        (True, None),
        ("1_0", None),
        ("nan", None),
        ("", None),
        ([], None),
    ],
)
def test_the_number_in_a_cell(value: object, number: float | None) -> None:
    assert number_of(value) == number


@given(value=JSON)
def test_any_value_is_a_name_a_number_and_a_text_or_is_refused(value: object) -> None:
    assert "\n" not in shown(value)
    number = number_of(value)
    assert number is None or not math.isnan(number)
    for meaning in (name_of, lambda cell: text_of("a", cell)):
        try:
            text = meaning(value)
        except ValueError:
            continue
        assert text.encode("utf-8").decode("utf-8") == text
        assert meaning(text) == text  # a file without types holds the same


@pytest.mark.parametrize(
    "value", [None, True, ["a"], {"a": 1}, "half \ud83d", float("nan"), math.inf, b"a", Decimal(1)]
)
def test_what_is_no_text(value: object) -> None:
    with pytest.raises(ValueError, match="a: "):
        text_of("a", value)


@pytest.mark.parametrize(
    ("names", "twice"),
    [
        (["a", "b"], None),
        (["", "", "a"], None),
        (["a", "b", "a"], "a"),
        (["a", " a"], "a"),
        (["a", "\ufeffa"], "a"),
        (["\xe9", "e\u0301"], "\xe9"),
        (["a", "A"], None),
    ],
)
def test_names_that_look_alike_are_one(names: list[str], twice: str | None) -> None:
    assert repeated(names) == twice
