"""The tests of significance against figures that are known in closed form, and against sacrebleu."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from lorafit.metrics.significance import mcnemar, paired_bootstrap


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 5), (3, 9), (6, 6)])
def test_mcnemar_is_the_binomial_tail(only_a: int, only_b: int) -> None:
    a = [True] * only_a + [False] * only_b + [True] * 4 + [False] * 3
    b = [False] * only_a + [True] * only_b + [True] * 4 + [False] * 3
    n, k = only_a + only_b, min(only_a, only_b)
    tail = 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n
    found = mcnemar("accuracy", a, b)
    assert found.p_value == pytest.approx(min(1.0, tail))
    assert found.difference == pytest.approx((only_b - only_a) / len(a))


def test_the_same_system_does_not_differ() -> None:
    assert mcnemar("accuracy", [True, False], [True, False]).p_value == 1.0
    values = np.arange(20.0)
    found = paired_bootstrap("mean", lambda i: values[i].mean(), lambda i: values[i].mean(), 20)
    assert (found.difference, found.p_value, found.low, found.high) == (0.0, 1.0, 0.0, 0.0)


def test_a_constant_gain_is_certain_and_noise_is_not() -> None:
    values = np.random.default_rng(1).normal(size=200)
    noise = np.random.default_rng(2).normal(size=200)
    sure = paired_bootstrap("mean", lambda i: values[i].mean(), lambda i: values[i].mean() + 1, 200)
    assert sure.p_value == pytest.approx(1 / 1001)
    assert sure.low == pytest.approx(1.0)
    unsure = paired_bootstrap("mean", lambda i: values[i].mean(), lambda i: noise[i].mean(), 200)
    assert unsure.low is not None
    assert unsure.high is not None
    assert unsure.low < unsure.difference < unsure.high


def test_the_interval_of_a_mean_has_the_width_of_theory() -> None:
    """A mean of n values with standard deviation s: ±1.96 s / √n."""
    gains = np.random.default_rng(3).normal(size=400)
    found = paired_bootstrap("mean", lambda _: 0.0, lambda i: gains[i].mean(), 400, num_samples=4000)
    half = 1.96 * gains.std() / 400**0.5
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.08)
