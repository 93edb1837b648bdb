"""What a run remembers besides the position of its members; every checkpoint holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorafit.objectives import Validation


@dataclass
class RunState:
    """The state of a run; it changes while the run trains."""

    num_steps: int  # as planned
    best_quality: float | None = None  # of the best adapter so far
    validated_step: int = 0  # the end of the last epoch that was validated and saved
    seconds: float = 0.0  # spent so far
    base_scores: dict[str, Any] | None = None
    weights_hash: str = ""  # of the base
    metrics_bytes: int = 0  # of the event log

    def is_best(self, validation: Validation | None) -> bool:
        """Whether no earlier epoch was better; without a validation split the last is best."""
        return validation is None or self.best_quality is None or validation.quality > self.best_quality

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over every value of a checkpoint."""
        for name, value in vars(RunState(**saved)).items():
            setattr(self, name, value)
