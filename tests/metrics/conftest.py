"""A few sentences with several references each."""

from __future__ import annotations

import pytest

PREDICTIONS = [
    "Blue Spice is a family-friendly coffee shop in the city centre.",
    "There's a pub called The Mill near Café Sicilia; it costs £20-25.",
    "Zizzi serves French food by the river, and it isn't cheap.",
    "Giraffe (a restaurant) has a 5 out of 5 rating.",
]
REFERENCES = [
    [
        "A coffee shop in the city centre area called Blue Spice.",
        "Blue Spice is a coffee shop in city centre.",
    ],
    [
        "The Mill is a pub near Café Sicilia with prices of £20-25.",
        "",
        "Near Café Sicilia there's the pub The Mill.",
    ],
    ["By the river, Zizzi serves expensive French food."],
    [
        "Giraffe is a restaurant rated 5 out of 5.",
        "The restaurant Giraffe has a rating of 5 out of 5.",
        "Giraffe.",
    ],
]


@pytest.fixture
def predictions() -> list[str]:
    return list(PREDICTIONS)


@pytest.fixture
def references() -> list[list[str]]:
    return [list(group) for group in REFERENCES]
