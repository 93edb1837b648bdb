"""By how much an update B A counts, by name: from alpha and the rank r."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

SCALINGS: Mapping[str, Callable[[float, int], float]] = {
    "lora": lambda alpha, r: alpha / r,  # Hu et al. 2021
    "rslora": lambda alpha, r: alpha / math.sqrt(r),  # Kalajdzievski 2023: does not fade as r grows
}
