"""Stop checks that tests decide."""

from __future__ import annotations

from collections.abc import Callable


class StopWhen:
    """Asks the run to stop when `reason` gives one."""

    def __init__(self, reason: Callable[[], str | None]) -> None:
        self.reason = reason

    def __call__(self) -> str | None:
        return self.reason()

    def save_took(self, seconds: float) -> None:
        """Nothing depends on it."""


class StopAt(StopWhen):
    """Asks the run to stop at the n-th time that it looks."""

    def __init__(self, n: int) -> None:
        self.left = n
        super().__init__(self._count)

    def _count(self) -> str | None:
        self.left -= 1
        return "a test" if self.left <= 0 else None
