"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def number(value: float | None) -> str:
    """Two decimals from 10 on, four below; a dash for what is not known."""
    return "-" if value is None else f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


def size(num_bytes: float) -> str:
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


def signed(value: float) -> str:
    """A difference: 1.25 -> '+1.25'"""
    return f"{value:+.4g}" if value else "0"


def short(value: float) -> str:
    """An axis label: 0.003 -> '0.003', 1e-05 -> '1e-5', 12000 -> '12k', 2500000 -> '2.5M'"""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.4g}{name}"
    if value and abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.4g}"


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in order: [0, 1, 2, 5] -> '0..2,5'"""
    runs: list[list[int]] = []
    for value in numbers:
        if runs and value == runs[-1][-1] + 1:
            runs[-1][1:] = [value]
        else:
            runs.append([value])
    return ",".join("..".join(map(str, run)) for run in runs)


def few(texts: Sequence[str], most: int = 6) -> list[str]:
    """The first of many texts, and how many more there are: ['a', 'b', '98 more']"""
    return list(texts) if len(texts) <= most else [*texts[: most - 1], f"{len(texts) - most + 1:,} more"]
