"""What BLEU and chrF++ share: sacrebleu's layout of references, and its counts for drawing examples anew."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sacrebleu.metrics.base import Metric as SacrebleuMetric

    from lorafit.metrics.significance import Statistic

Streams = list[list[Any]]  # str or None, which sacrebleu takes but its types do not know


def by_position(references: Sequence[Sequence[str]], missing: str | None) -> Streams:
    """Groups of references -> sacrebleu's streams (all first ones, the second, ...), gaps as `missing`."""
    return [[text or missing for text in stream] for stream in zip_longest(*references)]


def counted(
    metric: SacrebleuMetric, predictions: Sequence[str], streams: Streams, factor: float
) -> Statistic:
    """`factor` times the corpus score of the examples drawn: the counts of each text are added up.

    sacrebleu does the same in its own bootstrap, which gives no interval of the difference and takes no gaps.
    """
    import numpy as np

    counts = np.array(metric._extract_corpus_statistics(list(predictions), streams))

    def score(positions: NDArray[np.intp]) -> float:
        total = counts[positions].sum(axis=0)
        return float(metric._compute_score_from_stats(total.tolist()).score) * factor

    return score
