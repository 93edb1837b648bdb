"""BLEU against hand-made figures: what an empty reference means, tokens, and case."""

from __future__ import annotations

import math

import pytest

from lorafit.metrics import METRICS

FIVE, TEN = "a b c d e", "a b c d e f g h i j"


def bleu(name: str, prediction: str, *group: str) -> float:
    [score] = METRICS[name].compute([prediction], [list(group)])
    assert score.value is not None
    return score.value


def test_brevity_penalty() -> None:
    assert bleu("multi_bleu", FIVE, TEN) == pytest.approx(100 * math.exp(1 - 10 / 5))


def test_an_empty_reference_has_length_zero_for_multi_bleu_and_does_not_exist_for_mteval() -> None:
    assert bleu("multi_bleu", FIVE, TEN, "") == pytest.approx(100.0)  # |5 - 0| = |5 - 10|: the shorter counts
    assert bleu("multi_bleu_detok", FIVE, TEN, "") == pytest.approx(100.0)
    assert bleu("e2e_bleu", FIVE, TEN, "") == pytest.approx(100 * math.exp(-1))


def test_case_and_tokens() -> None:
    assert bleu("e2e_bleu", "The cat , it sat .", "the cat, it SAT.") == pytest.approx(100.0)
    assert bleu("multi_bleu", "the cat , it sat .", "the cat, it sat.") < 100
    assert bleu("multi_bleu", "The cat it sat", "the cat it SAT") == pytest.approx(100.0)
    assert bleu("multi_bleu_detok", "The cat it sat", "the cat it sat") < 100


def test_the_signature_tells_the_variants_apart() -> None:
    names = ("e2e_bleu", "multi_bleu", "multi_bleu_detok")
    signatures = {METRICS[name].compute([FIVE], [[TEN]])[0].signature for name in names}
    assert len(signatures) == 3
