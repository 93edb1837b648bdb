"""The challenges' translation edit rate (WebNLG 2017, DART), as tercom 0.7.25 computes it; 0 is best.

Edits and shifts of phrases (Snover et al. 2006): all edits by all reference words. Tercom tries the shifts that its
rules allow, and makes the best one while it gains anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from lorafit.metrics.score import Kind, Score, TextMetric, present
from lorafit.metrics.text.edits import (
    EditDistance,
    Shift,
    Words,
    common_runs,
    edits_and_shifts,
    unordered_distance,
)
from lorafit.version import __version__

# tercom's limits
MAX_SHIFT_WORDS = 10
MAX_SHIFT_DISTANCE = 50


@dataclass(frozen=True)
class Tercom(TextMetric):
    """All edits by all reference words (the mean of a segment's references).

    The same edits as tercom 0.7.25 on WebNLG's published outputs, 54736 for 54763 on DART's.
    """

    name: str = "tercom"
    kind: Kind = "text"
    keys: tuple[str, ...] = ("ter",)
    higher_is_better: bool = False
    measure: str = "TER of the text"

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
    least = {text: unordered_distance(words, text.split()) for text in references}
    nearest, *others = sorted(least, key=least.__getitem__)
    fewest = tercom_edits(prediction, nearest)
    for reference in others:
        if least[reference] < fewest:
            fewest = min(fewest, tercom_edits(prediction, reference))
    return fewest


@lru_cache(maxsize=2**16)
def tercom_edits(prediction: str, reference: str) -> int:
    """Edits and shifts that make `prediction` into `reference`, as tercom 0.7.25 counts them."""
    return edits_and_shifts(prediction.split(), reference.split(), _tercom_shifts)


def _tercom_shifts(words: Words, reference: Words) -> Iterator[Shift]:
    """Runs that hold a wrong word, to where the reference has the same run and a wrong word in it.

    Tercom prefers, among equal gains: the longer run, the earlier run, the later place, the earlier target.
    """
    aligned, wrong_words, wrong_reference = _alignment(words, reference)
    right_words, right_reference = _right_from(wrong_words), _right_from(wrong_reference)
    for (start, place), longest in common_runs(words, reference).items():
        away = aligned[place] - start
        if abs(away) > MAX_SHIFT_DISTANCE:
            continue
        longest = min(longest, MAX_SHIFT_WORDS, away if away >= 0 else longest)  # less than lies in place
        shortest = 1 + max(right_words[start], right_reference[place])
        for length in range(shortest, longest + 1):
            for offset, target in _targets(aligned, start, length, place):
                if target != start:
                    yield (length, -start, place, -offset), start, length, target


def _right_from(wrong: Sequence[int]) -> list[int]:
    """How many words from each on are right."""
    return list(accumulate(reversed(wrong), lambda behind, this: 0 if this else behind + 1, initial=0))[:0:-1]


def _targets(aligned: Mapping[int, int], start: int, length: int, place: int) -> Iterator[tuple[int, int]]:
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


def _alignment(words: Words, reference: Words) -> tuple[dict[int, int], list[int], list[int]]:
    """The word each reference word is aligned with (or comes after); 1 for every wrong word, of both.

    The edits are walked back through the distance matrix: a match or substitution before a deletion before an
    insertion.
    """
    from sacrebleu.metrics.lib_ter import trace_to_alignment

    distance = EditDistance(reference)
    rows = distance.rows(words)
    trace = ""
    i, j = len(words), len(reference)
    while i or j:
        here = distance.cell(rows[i], j)
        same = bool(i and j) and words[i - 1] == reference[j - 1]
        if i and j and here == distance.cell(rows[i - 1], j - 1) + (not same):
            i, j, edit = i - 1, j - 1, " " if same else "s"
        elif i and here == distance.cell(rows[i - 1], j) + 1:
            i, edit = i - 1, "i"
        else:
            j, edit = j - 1, "d"
        trace = edit + trace
    aligned, wrong_reference, wrong_words = trace_to_alignment(trace)
    return aligned, wrong_words, wrong_reference
