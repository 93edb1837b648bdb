"""What a metric is, and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Kind = Literal["text", "label", "score"]


@dataclass(frozen=True)
class Score:
    """One figure and how it came about."""

    name: str
    value: float | None  # None: could not be computed, and `reason` says why (JSON has no NaN)
    signature: str  # what was computed, how, and with which version; sacrebleu's format
    reason: str = ""


@dataclass(frozen=True)
class Metric(ABC):
    """A way to compare predictions with references.

    `kind` says what it compares:
        "text"   str with Sequence[str]; an empty string among the references is a missing one
        "label"  int with int
        "score"  float with float
    `keys` are the names of the scores it gives, most often one.
    """

    name: str
    kind: ClassVar[Kind]
    keys: ClassVar[tuple[str, ...]]
    higher_is_better: ClassVar[bool] = True

    def unavailable(self) -> str | None:
        """Why this metric cannot be computed here, and what to install; None when it can. Costs no time."""
        return None

    @abstractmethod
    def compute(self, predictions: Sequence[Any], references: Sequence[Any]) -> list[Score]:
        """The scores of a whole corpus, one for each of `keys`; one reference (or group) a prediction."""

    def compute_parts(
        self, predictions: Sequence[Any], references: Sequence[Any], parts: Mapping[str, Sequence[int]]
    ) -> dict[str, list[Score]]:
        """The scores of each part of a corpus, a part being the positions of its segments."""
        return {
            part: self.compute([predictions[i] for i in positions], [references[i] for i in positions])
            for part, positions in parts.items()
        }


def present(references: Sequence[str]) -> list[str]:
    """The references that are there."""
    return [reference for reference in references if reference]


def flat(scores: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"all": {"bleu": 1}} -> {"all.bleu": 1}"""
    out: dict[str, Any] = {}
    for name, value in scores.items():
        out |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return out
