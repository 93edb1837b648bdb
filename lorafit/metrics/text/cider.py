"""CIDEr (Vedantam et al. 2015), 0 to 10, as the COCO captioning scorer and so the E2E challenge has it.

The original, pycocoevalcap, brings 100 MB of Java archives with it and so is an extra, for METEOR alone; the tests
hold this against it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Score, TextMetric, present
from lorafit.metrics.text import ptb
from lorafit.version import __version__

MAX_ORDER = 4
SIGMA = 6.0  # of the length penalty, in bigrams

Ngram = tuple[str, ...]


@dataclass(frozen=True)
class Cider(TextMetric):
    """Clipped tf-idf cosine of 1- to 4-grams, mean over n, references and segments, times 10.

    The document frequencies come from the references at hand, a document being a segment: a single segment
    scores 0.
    """

    name: str = "cider"
    kind: Kind = "text"
    keys: tuple[str, ...] = ("cider",)
    measure: str = "CIDEr of the text, with the n-gram weights of all of them"

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, "cider"."""
        total = 0.0
        for similarity in _similarities(predictions, references):
            total += similarity
        signature = (
            f"nrefs:var|case:lc|tok:{ptb.SIGNATURE}|n:{MAX_ORDER}|sigma:{SIGMA:g}|lorafit:{__version__}"
        )
        return [Score("cider", 10 * total / len(predictions), signature)]

    def per_example(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
        """What each text adds to the mean."""
        return [10 * similarity for similarity in _similarities(predictions, references)]


def _similarities(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Iterator[float]:
    """Of every prediction with its references, on the mean."""
    groups = [[_ngram_counts(text) for text in present(group)] for group in references]
    frequency = Counter(ngram for group in groups for ngram in set().union(*group))
    num_documents = len(groups)
    for prediction, group in zip(predictions, groups, strict=True):
        hypothesis = _Vector(_ngram_counts(prediction), frequency, num_documents)
        vectors = [_Vector(counts, frequency, num_documents) for counts in group]
        yield sum(_similarity(hypothesis, vector) for vector in vectors) / len(vectors)


class _Vector:
    """tf-idf weights of a text's n-grams, their norm for each n, and the number of bigrams as its length."""

    def __init__(self, counts: Counter[Ngram], frequency: Counter[Ngram], num_documents: int) -> None:
        self.weights = {
            ngram: count * (math.log(num_documents) - math.log(max(1, frequency[ngram])))
            for ngram, count in counts.items()
        }
        squares = [0.0] * (MAX_ORDER + 1)
        for ngram, weight in self.weights.items():
            squares[len(ngram)] += weight**2
        self.norms = [math.sqrt(square) for square in squares]
        self.length = sum(count for ngram, count in counts.items() if len(ngram) == 2)


def _similarity(hypothesis: _Vector, reference: _Vector) -> float:
    products = [0.0] * (MAX_ORDER + 1)
    for ngram, weight in hypothesis.weights.items():
        other = reference.weights.get(ngram, 0.0)
        products[len(ngram)] += min(weight, other) * other
    norms = [a * b for a, b in zip(hypothesis.norms, reference.norms, strict=True)]
    cosines = [product / norm for product, norm in zip(products, norms, strict=True) if norm]
    penalty = math.exp(-((hypothesis.length - reference.length) ** 2) / (2 * SIGMA**2))
    return penalty * sum(cosines) / MAX_ORDER


def _ngram_counts(text: str) -> Counter[Ngram]:
    tokens = ptb.ptb_tokens(text)
    return Counter(
        tuple(tokens[start : start + n])
        for n in range(1, MAX_ORDER + 1)
        for start in range(len(tokens) - n + 1)
    )
