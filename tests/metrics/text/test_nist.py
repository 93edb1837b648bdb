"""NIST against figures worked out by hand, and its two length penalties."""

from __future__ import annotations

import math

import pytest

from lorafit.metrics import METRICS


def nist(predictions: list[str], references: list[list[str]]) -> dict[str, float | None]:
    return {score.name: score.value for score in METRICS["nist"].compute(predictions, references)}


def test_information_of_a_perfect_match() -> None:
    # 4 different words: each log2(4/1) = 2 bits; every longer n-gram is certain: 0 bits.
    assert nist(["a b c d"], [["a b c d"]]) == {"nist": pytest.approx(2.0), "nist_perl": pytest.approx(2.0)}


def test_matches_are_clipped_by_the_best_reference() -> None:
    # "a a" against "a b c d": one of two words matches, 2 bits / 2 words; length 2 of 4.
    penalty = math.exp(math.log(0.5) / math.log(1.5) ** 2 * math.log(2 / 4) ** 2)
    assert nist(["a a"], [["a b c d"]])["nist"] == pytest.approx(1.0 * penalty)


def test_the_penalty_is_one_half_at_two_thirds_of_the_length() -> None:
    whole = nist(["a b c d e f"], [["a b c d e f"]])["nist"]
    part = nist(["a b c d"], [["a b c d e f"]])["nist"]
    assert whole == pytest.approx(math.log2(6))
    assert part == pytest.approx(math.log2(6) / 2)


def test_the_two_lengths_differ_where_groups_do() -> None:
    # Mean lengths 4 and 2: 6 tokens to reach. 4 + 3 * 2 tokens by (1 + 3) / 2 references a segment: 5.
    figures = nist(["a b c d", "x"], [["a b c d"], ["x y", "x z", "x w"]])
    assert figures["nist"] is not None
    assert figures["nist_perl"] is not None
    beta = math.log(0.5) / math.log(1.5) ** 2
    assert figures["nist"] == pytest.approx(figures["nist_perl"] * math.exp(beta * math.log(5 / 6) ** 2))


def test_a_missing_reference_does_not_exist() -> None:
    assert nist(["a b"], [["a b c", "", ""]]) == nist(["a b"], [["a b c"]])
