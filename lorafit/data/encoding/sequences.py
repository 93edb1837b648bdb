"""Token ids of which any may be targets: what texts and conversations become."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self


class TokenSequence(Protocol):
    """Token ids, some of which are to be predicted from those before them."""

    def columns(self) -> Sequence[Sequence[int]]:
        """As rows of integers, of which `of_columns` makes it again."""
        ...

    @classmethod
    def of_columns(cls, columns: Sequence[Sequence[int]]) -> Self: ...

    @property
    def ids(self) -> tuple[int, ...]:
        """All tokens, before anything is cut."""
        ...

    @property
    def length(self) -> int:
        """Tokens, before anything is cut."""
        ...

    def num_targets(self, max_length: int) -> int:
        """Of what `max_length` leaves."""
        ...

    def inputs(self, max_length: int) -> list[int]:
        """What the model reads: everything but the last token of what `max_length` leaves."""
        ...

    def target_mask(self, max_length: int) -> list[bool]:
        """For each input, whether the token after it is a target."""
        ...

    def targets(self, max_length: int) -> list[int]:
        """The tokens to be predicted, one for each true place of `target_mask`."""
        ...


@dataclass(frozen=True)
class EncodedSequence:
    """`ids`, and which of them are targets; the first never is, since nothing stands before it."""

    ids: tuple[int, ...]
    is_target: tuple[bool, ...]

    def columns(self) -> tuple[Sequence[int], Sequence[int]]:
        """The ids, and the lengths of stretches that are targets or not, by turns; the first ones are not."""
        return self.ids, run_lengths(self.is_target)

    @classmethod
    def of_columns(cls, columns: Sequence[Sequence[int]]) -> Self:
        ids, runs = columns
        return cls(tuple(ids), tuple(value == 1 for value in from_run_lengths(runs)))

    @property
    def length(self) -> int:
        """Tokens, before anything is cut."""
        return len(self.ids)

    def num_targets(self, max_length: int) -> int:
        """Of what `max_length` leaves."""
        return sum(self.is_target[1:max_length])

    def inputs(self, max_length: int) -> list[int]:
        """Everything but the last token of what `max_length` leaves."""
        return list(self.ids[:max_length][:-1])

    def target_mask(self, max_length: int) -> list[bool]:
        """For each input, whether the token after it is a target."""
        return list(self.is_target[1:max_length])

    def targets(self, max_length: int) -> list[int]:
        """The tokens to be predicted."""
        kept = zip(self.ids[1:max_length], self.is_target[1:max_length], strict=True)
        return [token for token, is_target in kept if is_target]


def run_lengths(values: Iterable[int]) -> list[int]:
    """How many 0 come first, how many 1 then, and so on by turns: [1, 1, 0] -> [0, 2, 1]."""
    lengths, last = [0], 0
    for value in values:
        if value != last:
            lengths.append(0)
            last = value
        lengths[-1] += 1
    return lengths


def from_run_lengths(lengths: Sequence[int]) -> list[int]:
    """The values that have these run lengths."""
    return [place % 2 for place, length in enumerate(lengths) for _ in range(length)]


def cut_document(ids: tuple[int, ...], start_ids: tuple[int, ...], max_length: int) -> list[EncodedSequence]:
    """A document as examples of at most `max_length` tokens, each of which begins with `start_ids`.

    Every token is a target once. Without `start_ids` an example begins with the last token of the one before, from
    which its first one is predicted; the first token of the document is none then. `max_length` is more than the start.
    """
    overlaps = not start_ids
    before, rest = (ids[:1], ids[1:]) if overlaps else (start_ids, ids)
    size = max_length - len(before)
    found = []
    for place in range(0, len(rest), size):
        piece = rest[place : place + size]
        is_target = (*[False] * len(before), *[True] * len(piece))
        found.append(EncodedSequence((*before, *piece), is_target))
        before = piece[-1:] if overlaps else before
    return found
