"""chrF++ (Popović 2017), 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorafit.metrics.score import Kind, Score, TextMetric
from lorafit.metrics.text.sacrebleu_counts import by_position, counted

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF

    from lorafit.metrics.significance import Statistic


@dataclass(frozen=True)
class ChrF(TextMetric):
    """Character 1- to 6-grams and word 1- and 2-grams, F with beta 2, smoothed as in chrF++.py."""

    name: str = "chrf"
    kind: Kind = "text"
    keys: tuple[str, ...] = ("chrf",)
    measure: str = "chrF++ of the text"

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, "chrf"."""
        chrf = _chrf()
        value = chrf.corpus_score(list(predictions), by_position(references, None)).score / 100
        return [Score("chrf", value, str(chrf.get_signature()))]

    def resample(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Statistic:
        """chrF++ of the examples drawn."""
        return counted(_chrf(), predictions, by_position(references, None), 0.01)


def _chrf() -> CHRF:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=2, eps_smoothing=True)
