"""Closed forms of subspace similarity and amplification."""

from __future__ import annotations

import numpy as np
import pytest

from lorafit.lora.subspace import amplification, similarity


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_the_same_subspace_has_similarity_1_at_full_rank_whatever_its_basis() -> None:
    a = random(4, 20)
    mixed = random(4, 4, seed=1) @ a
    assert similarity(a, mixed)[-1, -1] == pytest.approx(1.0)
    assert np.diag(similarity(a, a)) == pytest.approx(np.ones(4))
    assert similarity(a, a) == pytest.approx(np.ones((4, 4)))


def test_orthogonal_subspaces_have_similarity_0() -> None:
    everything = np.eye(8)
    assert similarity(everything[:4], everything[4:]) == pytest.approx(np.zeros((4, 4)))


def test_one_shared_direction_of_two() -> None:
    e = np.eye(6)
    a, b = np.stack([3 * e[0], e[1]]), np.stack([3 * e[0], e[2]])
    assert similarity(a, b) == pytest.approx(np.array([[1.0, 1.0], [1.0, 0.5]]))


def test_ranks_may_differ_and_a_contained_subspace_counts_whole() -> None:
    big = random(8, 32)
    small = random(2, 8, seed=1) @ big
    grid = similarity(small, big)
    assert grid.shape == (2, 8)
    assert grid[:, -1] == pytest.approx(np.ones(2))
    assert similarity(small, big, most=3).shape == (2, 3)
    assert grid.min() >= 0


def test_amplification_of_a_diagonal_weight() -> None:
    """W = diag(5, 4, 3, 2, 1); ΔW = 6 e₄ e₄ᵀ looks at an entry of 2 and so amplifies it by 3."""
    weight, delta = np.diag([5.0, 4.0, 3.0, 2.0, 1.0]), np.zeros((5, 5))
    delta[3, 3] = 6
    found = amplification(weight, delta, 1)
    assert (found.norm_delta, found.through_delta, found.through_base) == pytest.approx((6, 2, 5))
    assert found.factor == pytest.approx(3)
    assert found.norm_base == pytest.approx(55**0.5)
    assert 0 <= found.through_random <= 5


def test_what_the_base_does_not_have_is_amplified_without_bound() -> None:
    weight, delta = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    assert amplification(weight, delta, 1).factor == float("inf")
