"""Which base an adapter is put on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BaseChoice:
    """The base that the adapter was trained on, or another path to it; `force` allows one with other hashes."""

    base: str | None = None
    force: bool = False
