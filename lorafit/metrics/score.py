"""What a metric is, and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from lorafit.files import JsonObject

if TYPE_CHECKING:  # both need numpy, which is imported only to compare two systems
    import numpy as np
    from numpy.typing import NDArray

    from lorafit.metrics.significance import Difference, Statistic

Kind = Literal["text", "label", "score", "likelihood"]
"""What a model gives for an example: a text that it writes, the number of a label, a real number, or how likely it
finds the right text."""

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Score:
    """One figure and how it came about."""

    name: str
    value: float | None  # None: could not be computed, and `reason` says why (JSON has no NaN)
    signature: str  # what was computed, how, and with which version; sacrebleu's format
    reason: str = ""


@dataclass(frozen=True)
class Metric(ABC, Generic[P, R]):
    """A way to compare predictions (P) with references (R), of which there are as many.

    `kind` says what it compares:
        "text"   P is str, R is Sequence[str]; an empty string among the references is a missing one
        "label"  P and R are int
        "score"  P and R are float
        "likelihood"  P is Likelihood, R is None
    `keys` are the names of the scores it gives, most often one. `measure` says what the value of a single example
    is; without it the metric is one of a whole corpus only. `right_or_wrong`: that value is 1 or 0, and the score
    their mean, so that two systems are told apart by an exact test.
    """

    name: str
    kind: Kind
    keys: tuple[str, ...]
    higher_is_better: bool = True
    measure: str = ""
    right_or_wrong: bool = False

    def unavailable(self) -> str | None:
        """Why this metric cannot be computed here, and what to install; None when it can. Costs no time."""
        return None

    @abstractmethod
    def compute(self, predictions: Sequence[P], references: Sequence[R]) -> list[Score]:
        """The scores of a whole corpus, one for each of `keys`."""

    def compute_parts(
        self, predictions: Sequence[P], references: Sequence[R], parts: Mapping[str, Sequence[int]]
    ) -> dict[str, list[Score]]:
        """The scores of each part of a corpus, a part being the positions of its examples."""
        return {
            part: self.compute([predictions[i] for i in positions], [references[i] for i in positions])
            for part, positions in parts.items()
        }

    def per_example(self, predictions: Sequence[P], references: Sequence[R]) -> list[float]:
        """The value of every example, scored alone. Only for a metric that says its `measure`."""
        alone = [self.compute([p], [r])[0].value for p, r in zip(predictions, references, strict=True)]
        return [value or 0.0 for value in alone]

    def resample(self, predictions: Sequence[P], references: Sequence[R]) -> Statistic:
        """The first score as a function of the examples drawn; 0 where these have none."""

        def score(positions: NDArray[np.intp]) -> float:
            drawn = positions.tolist()
            first = self.compute([predictions[i] for i in drawn], [references[i] for i in drawn])[0]
            return first.value or 0.0

        return score

    def compare(
        self, a: Sequence[P], b: Sequence[P], references: Sequence[R], num_samples: int
    ) -> Difference:
        """The first score of two systems on the same examples, and whether their difference could be chance."""
        from lorafit.metrics.significance import mcnemar, paired_bootstrap

        if self.right_or_wrong:
            right = ([value == 1 for value in self.per_example(side, references)] for side in (a, b))
            return mcnemar(self.keys[0], *right)
        one, other = (self.resample(side, references) for side in (a, b))
        return paired_bootstrap(self.keys[0], one, other, len(references), num_samples=num_samples)


TextMetric = Metric[str, Sequence[str]]


def present(references: Sequence[str]) -> list[str]:
    """The references that are there."""
    return [reference for reference in references if reference]


def flat(scores: Mapping[str, Any], prefix: str = "") -> JsonObject:
    """{"all": {"bleu": 1}} -> {"all.bleu": 1}"""
    out: JsonObject = {}
    for name, value in scores.items():
        out |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return out
