"""Which base an adapter is put on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BaseChoice:
    """The adapter's own base, or another path to it; `force` allows one with other hashes."""

    base: str | None = None
    force: bool = False
