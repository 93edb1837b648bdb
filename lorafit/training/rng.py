"""Seeding what is not ours."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed torch's, Python's and numpy's global generators, and every GPU's.

    A run draws from its own `lora.Draws` alone; this is for code of others that might draw while a base is loaded.
    """
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
