"""Scores as people read them."""

from __future__ import annotations

from lorafit.files import JsonObject
from lorafit.format import number
from lorafit.metrics.score import flat


def scores_line(scores: JsonObject) -> str:
    """bleu 65.93  nist 8.61"""
    return "  ".join(f"{name} {number(value)}" for name, value in flat(scores).items())
