"""Section 7 of the paper: how much two adapters learn the same directions, and how much an adapter amplifies them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]


def directions(lora_a: Matrix) -> Matrix:
    """The right-singular vectors of A [r, in], as rows [r, in], the strongest first."""
    return np.linalg.svd(lora_a.astype(np.float64), full_matrices=False)[2]


def similarity(a: Matrix, b: Matrix, most: int | None = None) -> Matrix:
    """φ(A, B, i, j) = ‖Uᵢᵀ Vⱼ‖²_F / min(i, j) for i, j = 1…: [min(r_a, most), min(r_b, most)], each from 0 to 1.

    U and V are the first i and j right-singular vectors of a [r_a, in] and b [r_b, in]. 1: one subspace holds the
    other; 0: they are orthogonal.  (Hu et al. 2021, eq. 4)
    """
    u, v = directions(a)[:most], directions(b)[:most]
    overlap = (u @ v.T) ** 2
    i, j = np.arange(1, len(u) + 1)[:, None], np.arange(1, len(v) + 1)[None, :]
    return overlap.cumsum(0).cumsum(1) / np.minimum(i, j)


@dataclass(frozen=True)
class Amplification:
    """A column of Table 7. Frobenius norms of ΔW, of W, and of W seen through the directions of ΔW, of W itself and
    of a random matrix of the same rank."""

    norm_delta: float
    norm_base: float
    through_delta: float
    through_base: float
    through_random: float

    @property
    def factor(self) -> float:
        """‖ΔW‖ / ‖Uᵀ W Vᵀ‖: how much the directions of ΔW are amplified. Infinite where W has nothing of them."""
        return self.norm_delta / self.through_delta if self.through_delta else float("inf")


def amplification(weight: Matrix, delta: Matrix, r: int, seed: int = 0) -> Amplification:
    """The figures of Table 7 for a weight [out, in] and its update [out, in] of rank r.  (Hu et al. 2021, 7.3)"""
    weight, delta = weight.astype(np.float64), delta.astype(np.float64)
    random = np.random.default_rng(seed).normal(size=weight.shape)
    return Amplification(
        norm_delta=float(np.linalg.norm(delta)),
        norm_base=float(np.linalg.norm(weight)),
        through_delta=_through(weight, delta, r),
        through_base=_through(weight, weight, r),
        through_random=_through(weight, random, r),
    )


def _through(weight: Matrix, of: Matrix, r: int) -> float:
    """‖Uᵀ W Vᵀ‖_F with the first r left- and right-singular vectors of `of`."""
    u, _, v = np.linalg.svd(of, full_matrices=False)
    return float(np.linalg.norm(u[:, :r].T @ weight @ v[:r].T))
