"""BLEU (Papineni et al. 2002), 0 to 100, as each of the official scorers computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, ClassVar, Literal

from lorafit.metrics.score import Kind, Metric, Score


@dataclass(frozen=True)
class Bleu(Metric):
    """Corpus BLEU by sacrebleu.

    The Perl scripts differ in tokens and case, and in what an empty reference means: mteval leaves it out,
    multi-bleu takes it for one of length zero when it looks for the closest length. That alone moves DART by
    a point.
    """

    kind: ClassVar[Kind] = "text"
    keys: ClassVar[tuple[str, ...]] = ("bleu",)

    tokenize: Literal["13a", "none"] = "13a"
    lowercase: bool = False
    empty_reference: Literal["dropped", "length-0"] = "dropped"

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, "bleu"."""
        from sacrebleu.metrics import BLEU

        bleu = BLEU(tokenize=self.tokenize, lowercase=self.lowercase, force=True)
        missing = None if self.empty_reference == "dropped" else ""
        value = bleu.corpus_score(list(predictions), by_position(references, missing)).score
        return [Score("bleu", value, f"{bleu.get_signature()}|empty:{self.empty_reference}")]


def by_position(references: Sequence[Sequence[str]], missing: str | None) -> list[list[Any]]:
    """Groups of references -> sacrebleu's streams (all first ones, the second, ...), gaps as `missing`."""
    return [[text or missing for text in stream] for stream in zip_longest(*references)]
