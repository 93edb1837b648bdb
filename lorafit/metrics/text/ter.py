"""GenerationEval's translation edit rate (the LoRA paper's WebNLG and DART); 0 is best.

Edits and shifts of phrases, per reference word (Snover et al. 2006). This is the figure of the program pyter, which
tries every shift of equal words, makes the best one while it gains anything, and averages over the segments. As a
package it is no longer kept up, and takes 100 s for 1862 texts with 3 references each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lorafit.metrics.score import Kind, Score, TextMetric
from lorafit.metrics.text.edits import Shift, Words, common_runs, edits_and_shifts, unordered_distance
from lorafit.version import __version__


@dataclass(frozen=True)
class Ter(TextMetric):
    """The mean over the segments of the lowest pyter figure; an empty reference gives 1."""

    name: str = "ter"
    kind: Kind = "text"
    keys: tuple[str, ...] = ("ter",)
    higher_is_better: bool = False
    measure: str = "TER of the text"

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, "ter"."""
        values = self.per_example(predictions, references)
        signature = f"nrefs:var|case:mixed|tok:none|shifts:pyter|mean:segments|lorafit:{__version__}"
        return [Score("ter", sum(values) / len(values), signature)]

    def per_example(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
        """The lowest rate of every text."""
        return [_lowest_rate(p, group) for p, group in zip(predictions, references, strict=True)]


def _lowest_rate(prediction: str, references: Sequence[str]) -> float:
    """Over the references; one with too many different words needs no look at their order. An empty one has rate 1."""
    words = prediction.split()
    lengths = {text: len(text.split()) for text in references}
    least = {
        text: unordered_distance(words, text.split()) / length for text, length in lengths.items() if length
    }
    lowest = math.inf if len(least) == len(lengths) else 1.0
    for reference in sorted(least, key=least.__getitem__):
        if least[reference] < lowest:
            lowest = min(lowest, pyter_edits(prediction, reference) / lengths[reference])
    return lowest


@lru_cache(maxsize=2**16)
def pyter_edits(prediction: str, reference: str) -> int:
    """Edits and shifts that make `prediction` into `reference`, as pyter 0.3 counts them."""
    return edits_and_shifts(prediction.split(), reference.split(), _pyter_shifts)


def _pyter_shifts(words: Words, reference: Words) -> Iterator[Shift]:
    """Every run of words to every other place where the reference has the same run."""
    for (start, target), length in common_runs(words, reference).items():
        if start != target:
            yield (), start, length, target
