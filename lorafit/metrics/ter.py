"""Translation edit rate (Snover et al. 2006): edits and shifts of phrases, per reference word; 0 is best.

Two programs, two figures. GenerationEval (the LoRA paper's WebNLG and DART) takes pyter's, which tries every
shift of equal words and averages over the segments. The challenges took tercom's, which tries the shifts that
its rules allow and divides all edits by all reference words. Both are greedy: the best shift is made while it
gains anything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from lorafit import __version__
from lorafit.metrics.edits import EditDistance
from lorafit.metrics.score import Kind, Metric, Score, present

# tercom's limits
MAX_SHIFT_WORDS = 10
MAX_SHIFT_DISTANCE = 50

Words = list[str]
Shift = tuple[
    tuple[int, ...], int, int, int
]  # rank among equal gains; first word, number of words, place to go to
Proposals = Callable[[Words, Words], Iterator[Shift]]


@dataclass(frozen=True)
class Ter(Metric):
    """GenerationEval's: the mean over the segments of the lowest pyter figure; an empty reference gives 1."""

    kind: ClassVar[Kind] = "text"
    keys: ClassVar[tuple[str, ...]] = ("ter",)
    higher_is_better: ClassVar[bool] = False

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, "ter"."""
        values = [_lowest_rate(p, group) for p, group in zip(predictions, references, strict=True)]
        signature = f"nrefs:var|case:mixed|tok:none|shifts:pyter|mean:segments|lorafit:{__version__}"
        return [Score("ter", sum(values) / len(values), signature)]


@dataclass(frozen=True)
class Tercom(Metric):
    """The challenges': all edits by all reference words (the mean of a segment's references).

    Closer to tercom 0.7.25 than sacrebleu's TER, which takes equal gains in another order and gives up after
    a thousand tries: the same edits on WebNLG's published outputs, 54736 for 54763 on DART's.
    """

    kind: ClassVar[Kind] = "text"
    keys: ClassVar[tuple[str, ...]] = ("ter",)
    higher_is_better: ClassVar[bool] = False

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, "ter"."""
        edits, num_words = 0, 0.0
        for prediction, group in zip(predictions, references, strict=True):
            texts = present(group)
            edits += _fewest_edits(prediction.lower(), [text.lower() for text in texts])
            num_words += sum(len(text.split()) for text in texts) / len(texts)
        signature = f"nrefs:var|case:lc|tok:none|shifts:tercom|mean:corpus|lorafit:{__version__}"
        return [Score("ter", edits / num_words if num_words else float(edits > 0), signature)]


def _fewest_edits(prediction: str, references: Sequence[str]) -> int:
    """Over the references; one with too many different words needs no look at their order."""
    words = prediction.split()
    least = {text: _unordered_distance(words, text.split()) for text in references}
    fewest: int | None = None
    for reference in sorted(least, key=least.__getitem__):
        if fewest is None or least[reference] < fewest:
            edits = tercom_edits(prediction, reference)
            fewest = edits if fewest is None else min(fewest, edits)
    assert fewest is not None
    return fewest


def _lowest_rate(prediction: str, references: Sequence[str]) -> float:
    """As `_fewest_edits`, by the length of the reference; an empty one has rate 1."""
    words = prediction.split()
    lengths = {text: len(text.split()) for text in references}
    least = {
        text: _unordered_distance(words, text.split()) / length for text, length in lengths.items() if length
    }
    lowest = math.inf if len(least) == len(lengths) else 1.0
    for reference in sorted(least, key=least.__getitem__):
        if least[reference] < lowest:
            lowest = min(lowest, pyter_edits(prediction, reference) / lengths[reference])
    return lowest


@lru_cache(maxsize=2**16)
def pyter_edits(prediction: str, reference: str) -> int:
    """Edits and shifts that make `prediction` into `reference`, as pyter 0.3 counts them."""
    return _edits_and_shifts(prediction.split(), reference.split(), _pyter_shifts)


@lru_cache(maxsize=2**16)
def tercom_edits(prediction: str, reference: str) -> int:
    """Edits and shifts that make `prediction` into `reference`, as tercom 0.7.25 counts them."""
    return _edits_and_shifts(prediction.split(), reference.split(), _tercom_shifts)


def _edits_and_shifts(words: Words, reference: Words, proposals: Proposals) -> int:
    """Make the shift that gains most, again and again; of equal gains, that of the highest rank.

    Most shifts need no try: to move n words past m others is to take out and put in n words, or m, and so gains
    2 min(n, m) at most; and no order of the words has fewer edits than no order at all.
    """
    distance = EditDistance(reference)
    least = _unordered_distance(words, reference)
    num_shifts = 0
    while True:
        rows = distance.rows(words)
        edits = distance.cell(rows[-1], len(reference))
        best: tuple[int, tuple[int, ...], Words] = (0, (), words)
        if edits == least:
            return num_shifts + edits
        for rank, start, length, target in proposals(words, reference):
            most = min(2 * length, 2 * abs(target - start), edits - least)
            if (most, rank) < best[:2] or not most:
                continue
            shifted = _shifted(words, start, length, target)
            unchanged = min(start, target)
            best = max(best, (edits - distance(shifted[unchanged:], rows[unchanged]), rank, shifted))
        if best[0] == 0:
            return num_shifts + edits
        num_shifts, words = num_shifts + 1, best[-1]


def _unordered_distance(words: Words, reference: Words) -> int:
    """Edits between the two as bags of words."""
    return max(len(words), len(reference)) - (Counter(words) & Counter(reference)).total()


def _shifted(words: Words, start: int, length: int, target: int) -> Words:
    """The `length` words from `start` on taken out, and put in before place `target` of what is left."""
    left = words[:start] + words[start + length :]
    return left[:target] + words[start : start + length] + left[target:]


def _common_length(a: Words, a_start: int, b: Words, b_start: int, limit: int) -> int:
    """How many words on from there are the same."""
    length = 0
    for x, y in zip(a[a_start : a_start + limit], b[b_start : b_start + limit], strict=False):
        if x != y:
            break
        length += 1
    return length


def _pyter_shifts(words: Words, reference: Words) -> Iterator[Shift]:
    """Every run of words to every other place where the reference has the same run."""
    for start, word in enumerate(words):
        for target, other in enumerate(reference):
            if word == other and start != target:
                yield (), start, _common_length(words, start, reference, target, len(words)), target


def _tercom_shifts(words: Words, reference: Words) -> Iterator[Shift]:
    """Runs that hold a wrong word, to where the reference has the same run and a wrong word in it.

    Tercom prefers, among equal gains: the longer run, the earlier run, the later place, the earlier target.
    """
    aligned, wrong_words, wrong_reference = _alignment(words, reference)
    for start, word in enumerate(words):
        for place, other in enumerate(reference):
            if word != other or abs(start - aligned[place]) > MAX_SHIFT_DISTANCE:
                continue
            longest = _common_length(words, start, reference, place, MAX_SHIFT_WORDS)
            for length in range(1, longest + 1):
                in_place = start <= aligned[place] < start + length
                wrong = any(wrong_words[start : start + length]) and any(
                    wrong_reference[place : place + length]
                )
                if in_place or not wrong:
                    continue
                for offset, target in _targets(aligned, start, length, place):
                    yield (length, -start, place, -offset), start, length, target


def _targets(aligned: Sequence[int], start: int, length: int, place: int) -> Iterator[tuple[int, int]]:
    """Behind the words aligned with the reference word before the run, and with each word of the run."""
    if place == 0:
        yield -1, 0
    for offset in range(-1 if place else 0, length):
        behind = aligned[place + offset]
        if offset and behind == aligned[place]:
            continue  # that is where offset 0 goes
        if behind < start:
            yield offset, behind + 1
        elif behind < start + length:
            yield offset, behind
        else:
            yield offset, behind + 1 - length


def _alignment(words: Words, reference: Words) -> tuple[list[int], list[bool], list[bool]]:
    """The word each reference word is aligned with (or comes after), and which words are wrong.

    Walks back through the distance matrix: a match or substitution before a deletion before an insertion.
    """
    distance = EditDistance(reference)
    rows = distance.rows(words)

    def cell(i: int, j: int) -> int:
        return distance.cell(rows[i], j)

    aligned = [-1] * len(reference)
    wrong_words, wrong_reference = [True] * len(words), [True] * len(reference)
    i, j = len(words), len(reference)
    while i or j:
        same = bool(i and j) and words[i - 1] == reference[j - 1]
        if i and j and cell(i, j) == cell(i - 1, j - 1) + (not same):
            i, j = i - 1, j - 1
            aligned[j] = i
            wrong_words[i] = wrong_reference[j] = not same
        elif i and cell(i, j) == cell(i - 1, j) + 1:
            i -= 1
        else:
            j -= 1
            aligned[j] = i - 1
    return aligned, wrong_words, wrong_reference
