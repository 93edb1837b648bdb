"""Numbers as people read them."""

from __future__ import annotations

from lorafit.files import JsonObject
from lorafit.metrics.score import flat


def number(value: float | None) -> str:
    """Two decimals from 10 on, four below; a dash for what is not known."""
    return "-" if value is None else f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


def scores_line(scores: JsonObject) -> str:
    """bleu 65.93  nist 8.61"""
    return "  ".join(f"{name} {number(value)}" for name, value in flat(scores).items())


def size(num_bytes: int) -> str:
    """1577776 -> '1.6 MB'"""
    amount = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """83.2 -> '1:23'"""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def age(seconds: float) -> str:
    """93.2 -> '1m'; 200000 -> '2d'"""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds:.0f}s"
