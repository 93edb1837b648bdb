"""chrF++ (Popović 2017), 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lorafit.metrics.bleu import by_position
from lorafit.metrics.score import Kind, Metric, Score


@dataclass(frozen=True)
class ChrF(Metric):
    """Character 1- to 6-grams and word 1- and 2-grams, F with beta 2, smoothed as in chrF++.py."""

    kind: ClassVar[Kind] = "text"
    keys: ClassVar[tuple[str, ...]] = ("chrf",)

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, "chrf"."""
        from sacrebleu.metrics import CHRF

        chrf = CHRF(word_order=2, eps_smoothing=True)
        value = chrf.corpus_score(list(predictions), by_position(references, None)).score / 100
        return [Score("chrf", value, str(chrf.get_signature()))]
