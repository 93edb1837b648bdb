"""BLEU (Papineni et al. 2002), 0 to 100, as each of the official scorers computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lorafit.metrics.score import Kind, Score, TextMetric
from lorafit.metrics.text.sacrebleu_counts import Streams, by_position, counted

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

    from lorafit.metrics.significance import Statistic


@dataclass(frozen=True)
class Bleu(TextMetric):
    """Corpus BLEU by sacrebleu.

    The Perl scripts differ in tokens and case, and in what an empty reference means: mteval leaves it out,
    multi-bleu takes it for one of length zero when it looks for the closest length. That alone moves DART by
    a point.
    """

    kind: Kind = "text"
    keys: tuple[str, ...] = ("bleu",)
    measure: str = "sentence BLEU"

    tokenize: Literal["13a", "none"] = "13a"
    lowercase: bool = False
    empty_reference: Literal["dropped", "length-0"] = "dropped"

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, "bleu"."""
        bleu = self._bleu()
        value = bleu.corpus_score(list(predictions), self._streams(references)).score
        return [Score("bleu", value, f"{bleu.get_signature()}|empty:{self.empty_reference}")]

    def per_example(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
        """Of orders that a text is too short for nothing is expected, and no order counts 0 (sacrebleu's smoothing)."""
        bleu = self._bleu(effective_order=True)
        return [
            bleu.corpus_score([text], self._streams([group])).score
            for text, group in zip(predictions, references, strict=True)
        ]

    def resample(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Statistic:
        """BLEU of the examples drawn."""
        return counted(self._bleu(), predictions, self._streams(references), 1.0)

    def _bleu(self, effective_order: bool = False) -> BLEU:
        from sacrebleu.metrics.bleu import BLEU

        return BLEU(
            tokenize=self.tokenize, lowercase=self.lowercase, force=True, effective_order=effective_order
        )

    def _streams(self, references: Sequence[Sequence[str]]) -> Streams:
        return by_position(references, None if self.empty_reference == "dropped" else "")
