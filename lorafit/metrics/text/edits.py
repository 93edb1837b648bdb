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

    def __call__(self, words: Sequence[str]) -> int:
        """The least number of insertions, deletions and substitutions."""
        return self.cell(self.rows(words)[-1], self.num_words)

    def rows(self, words: Sequence[str]) -> list[Row]:
        """D[0] and one more row for each word."""
        return list(accumulate(words, self._next_row, initial=(0, self._full, 0)))

    def _next_row(self, row: Row, word: str) -> Row:
        i, plus, minus = row
        return i + 1, *_next_bits(plus, minus, self._places.get(word, 0), 1, self._full)

    @staticmethod
    def cell(row: Row, j: int) -> int:
        """D[i][j]: from the first i words to the first j of the reference."""
        i, plus, minus = row
        before = (1 << j) - 1
        return i + (plus & before).bit_count() - (minus & before).bit_count()

    def of_orders(self, orders: Sequence[Words]) -> list[int]:
        """The distances of several orders of the same words, all at once: each has some bytes of the same integers."""
        if not orders:
            return []
        width = self.num_words // 8 + 1  # at least a bit more than words: sums carry into it
        same = {word: self._places.get(word, 0).to_bytes(width, "little") for word in orders[0]}
        ones = int.from_bytes((1).to_bytes(width, "little") * len(orders), "little")
        full = plus = ones * self._full
        minus = 0
        for words in zip(*orders, strict=True):
            here = int.from_bytes(b"".join(map(same.__getitem__, words)), "little")
            plus, minus = _next_bits(plus, minus, here, ones, full)
        starts = range(0, width * len(orders), width)
        ups, downs = (bits.to_bytes(width * len(orders), "little") for bits in (plus, minus))
        return [
            len(orders[0])
            + int.from_bytes(ups[start : start + width], "little").bit_count()
            - int.from_bytes(downs[start : start + width], "little").bit_count()
            for start in starts
        ]


def _next_bits(plus: int, minus: int, same: int, ones: int, full: int) -> tuple[int, int]:
    """The next row's; `same` has the places of its word, `ones` the first bit of each list, `full` all its places."""
    x_vertical = same | minus
    x_horizontal = ((same & plus) + plus ^ plus) | same
    taller = (minus | full ^ (x_horizontal | plus) & full) << 1 | ones
    lower = (plus & x_horizontal) << 1
    return (lower | full ^ (x_vertical | taller) & full) & full, taller & x_vertical & full


def edits_and_shifts(words: Words, reference: Words, proposals: Proposals) -> int:
    """Make the shift that gains most, again and again; of equal gains, that of the highest rank.

    No order of the words has fewer edits than no order at all.
    """
    distance = EditDistance(reference)
    least = unordered_distance(words, reference)
    edits = distance(words)
    num_shifts = 0
    while edits > least:
        shifts = [
            (rank, _shifted(words, start, length, target))
            for rank, start, length, target in proposals(words, reference)
        ]
        gains = (edits - after for after in distance.of_orders([order for _, order in shifts]))
        gain, _, words = max(
            ((gain, *shift) for gain, shift in zip(gains, shifts, strict=True) if gain > 0),
            default=(0, (), words),
        )
        if not gain:
            break
        num_shifts, edits = num_shifts + 1, edits - gain
    return num_shifts + edits


def unordered_distance(words: Words, reference: Words) -> int:
    """Edits between the two as bags of words."""
    return max(len(words), len(reference)) - (Counter(words) & Counter(reference)).total()


def _shifted(words: Words, start: int, length: int, target: int) -> Words:
    """The `length` words from `start` on taken out, and put in before place `target` of what is left."""
    left = words[:start] + words[start + length :]
    return left[:target] + words[start : start + length] + left[target:]


def common_runs(a: Words, b: Words) -> dict[tuple[int, int], int]:
    """(i, j) -> how many words from the i-th of `a` and the j-th of `b` on are the same, where any are."""
    places: dict[str, list[int]] = {}
    for j, word in enumerate(b):
        places.setdefault(word, []).append(j)
    runs: dict[tuple[int, int], int] = {}
    for i in reversed(range(len(a))):
        for j in places.get(a[i], ()):
            runs[i, j] = 1 + runs.get((i + 1, j + 1), 0)
    return runs
