"""Edit distance between lists of words, fast enough to be asked for every shift that TER tries."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

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
