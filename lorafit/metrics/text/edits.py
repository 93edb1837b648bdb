"""Edits and shifts of phrases between two lists of words, as both programs of TER search for them.

sacrebleu's lib_ter has tercom's search too, but takes equal gains in another order, keeps to a beam, gives up after a
thousand tries (each moves the figures), and takes ten times as long, because it fills a matrix for every try.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

Words = list[str]
Shift = tuple[tuple[int, ...], int, int, int]
"""Rank among equal gains; first word, number of words, place to go to."""
Proposals = Callable[[Words, Words], Iterator[Shift]]
"""The shifts that a program tries, of the words towards the reference."""

# (i, plus, minus), a row of the distance matrix D: D[i][0] = i, and D[i][j+1] - D[i][j] is +1 where bit j of
# plus is set, -1 where bit j of minus is.
Row = tuple[int, int, int]


class EditDistance:
    """Levenshtein distance of word lists to a fixed reference, a row of the matrix at once (Myers 1999)."""

    def __init__(self, reference: Sequence[str]) -> None:
        self.num_words = len(reference)
        self._full = (1 << len(reference)) - 1
        self._places: dict[str, int] = {}
        for j, word in enumerate(reference):
            self._places[word] = self._places.get(word, 0) | 1 << j

    def __call__(self, words: Sequence[str], first: Row | None = None) -> int:
        """The least number of insertions, deletions and substitutions; `first` is the row before."""
        return self.cell(self.rows(words, first)[-1], self.num_words)

    def rows(self, words: Sequence[str], first: Row | None = None) -> list[Row]:
        """`first` (D[0] where it is None) and one more row for each word."""
        return list(accumulate(words, self._next_row, initial=first or (0, self._full, 0)))

    def _next_row(self, row: Row, word: str) -> Row:
        i, plus, minus = row
        same = self._places.get(word, 0)
        x_vertical = same | minus
        x_horizontal = ((same & plus) + plus ^ plus) | same
        taller = (minus | ~(x_horizontal | plus) & self._full) << 1 | 1
        lower = (plus & x_horizontal) << 1
        return i + 1, (lower | ~(x_vertical | taller)) & self._full, taller & x_vertical & self._full

    @staticmethod
    def cell(row: Row, j: int) -> int:
        """D[i][j]: from the first i words to the first j of the reference."""
        i, plus, minus = row
        before = (1 << j) - 1
        return i + (plus & before).bit_count() - (minus & before).bit_count()


def edits_and_shifts(words: Words, reference: Words, proposals: Proposals) -> int:
    """Make the shift that gains most, again and again; of equal gains, that of the highest rank.

    Most shifts need no try: to move n words past m others is to take out and put in n words, or m, and so gains
    2 min(n, m) at most; and no order of the words has fewer edits than no order at all.
    """
    distance = EditDistance(reference)
    least = unordered_distance(words, reference)
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


def unordered_distance(words: Words, reference: Words) -> int:
    """Edits between the two as bags of words."""
    return max(len(words), len(reference)) - (Counter(words) & Counter(reference)).total()


def _shifted(words: Words, start: int, length: int, target: int) -> Words:
    """The `length` words from `start` on taken out, and put in before place `target` of what is left."""
    left = words[:start] + words[start + length :]
    return left[:target] + words[start : start + length] + left[target:]


def common_length(a: Words, a_start: int, b: Words, b_start: int, limit: int) -> int:
    """How many words on from there are the same."""
    length = 0
    for x, y in zip(a[a_start : a_start + limit], b[b_start : b_start + limit], strict=False):
        if x != y:
            break
        length += 1
    return length
