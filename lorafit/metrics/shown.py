"""Which predictions are shown where not all are: on the page of a run, and those whose loss a run measures for it."""

from __future__ import annotations

_MOST_SHOWN = 200


def on_page(total: int) -> list[int]:
    """The predictions of a page, by index."""
    return evenly(total, _MOST_SHOWN)


def evenly(total: int, most: int) -> list[int]:
    """At most so many of range(total), evenly spaced."""
    return list(range(total)) if total <= most else [i * total // most for i in range(most)]
