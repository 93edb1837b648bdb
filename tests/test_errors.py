"""A name that is not known gets the nearest one, and all there are."""

from __future__ import annotations

import pytest

from lorafit.errors import AdapterError, RecipeError, lookup

REGISTRY = {"bleu": 1, "chrf": 2}


def test_a_known_name_is_its_entry() -> None:
    assert lookup(REGISTRY, "chrf", "metric") == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blue", "no metric 'blue'; did you mean 'bleu'? there are bleu, chrf"),
        ("BLEU", "no metric 'BLEU'; did you mean 'bleu'? there are bleu, chrf"),
        ("xyz", "no metric 'xyz'; there are bleu, chrf"),
    ],
)
def test_an_unknown_name(name: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        lookup(REGISTRY, name, "metric")
    assert str(caught.value) == message


def test_the_place_what_else_would_do_and_the_error_are_the_caller_s() -> None:
    with pytest.raises(AdapterError) as caught:
        lookup(REGISTRY, "xyz", "metric", where="[eval] metrics", more=" and scripts", error=AdapterError)
    assert str(caught.value) == "[eval] metrics: no metric 'xyz'; there are bleu, chrf and scripts"
