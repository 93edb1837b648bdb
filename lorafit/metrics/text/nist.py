"""NIST (Doddington 2002), of which the E2E challenge knows two.

nltk's takes the best single reference for each n-gram order, and its length: 7.1 where both official scorers give 8.6.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Score, TextMetric, present

MAX_ORDER = 5
_BETA = -math.log(0.5) / math.log(1.5) ** 2  # the penalty is one half at two thirds of the length

Tokens = list[str]
Ngram = tuple[str, ...]


@dataclass(frozen=True)
class Nist(TextMetric):
    """N-gram matches weighed by their information in the references; two official length penalties.

    "nist" is e2e-metrics' Python figure (`measure_scores.py -p`, the LoRA paper's): the length to reach is
    the sum over the segments of the mean reference length. "nist_perl" is mteval's (the challenge's): all
    reference tokens divided by the references per segment.
    """

    name: str = "nist"
    kind: Kind = "text"
    keys: tuple[str, ...] = ("nist", "nist_perl")

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """Two scores, "nist" and "nist_perl"."""
        from sacrebleu import __version__
        from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

        tokenize = Tokenizer13a()
        hypotheses = [tokenize(text.lower()).split() for text in predictions]
        groups = [[tokenize(text.lower()).split() for text in present(group)] for group in references]
        information = _information(hypotheses, groups)

        num_hypothesis_tokens = sum(map(len, hypotheses))
        num_reference_tokens = sum(len(tokens) for group in groups for tokens in group)
        references_per_segment = sum(map(len, groups)) / len(groups)
        target_lengths = {
            "nist": sum(sum(map(len, group)) / len(group) for group in groups),
            "nist_perl": num_reference_tokens / references_per_segment,
        }
        return [
            Score(
                name,
                information * _penalty(num_hypothesis_tokens / length),
                f"nrefs:var|case:lc|tok:13a|n:{MAX_ORDER}|length:{_LENGTH[name]}|sacrebleu-tok:{__version__}",
            )
            for name, length in target_lengths.items()
        ]


_LENGTH = {"nist": "mean-per-segment", "nist_perl": "mean-over-corpus"}


def _penalty(length_ratio: float) -> float:
    return math.exp(-_BETA * math.log(min(1.0, length_ratio)) ** 2) if length_ratio else 0.0


def _information(hypotheses: Sequence[Tokens], groups: Sequence[Sequence[Tokens]]) -> float:
    """The sum over n of: information of the matched n-grams / number of n-grams of the hypotheses."""
    counts: Counter[Ngram] = Counter()
    for group in groups:
        for tokens in group:
            counts.update(_ngrams(tokens))
            counts[()] += len(tokens)  # the empty context of every single word

    gained, tried = [0.0] * (MAX_ORDER + 1), [0] * (MAX_ORDER + 1)
    for hypothesis, group in zip(hypotheses, groups, strict=True):
        known: Counter[Ngram] = Counter()
        for tokens in group:
            known |= Counter(_ngrams(tokens))
        for ngram, count in Counter(_ngrams(hypothesis)).items():
            n = len(ngram)
            tried[n] += count
            if ngram in known:
                gained[n] += min(count, known[ngram]) * math.log2(counts[ngram[:-1]] / counts[ngram])
    return sum(g / t for g, t in zip(gained, tried, strict=True) if t)


def _ngrams(tokens: Tokens) -> Iterator[Ngram]:
    for n in range(1, MAX_ORDER + 1):
        for start in range(len(tokens) - n + 1):
            yield tuple(tokens[start : start + n])
