"""Rows as token ids, and how they fit the base: which are cut, and which have a token that it does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lorafit.errors import Advice, DataError, SetKey
from lorafit.models.vocabulary import ANOTHER_BASE
from lorafit.recipe import DataSection

ExampleT = TypeVar("ExampleT")

Noun = tuple[str, str]
"""A thing, and several of them: ("training row", "training rows")."""

_SHOWN_FAULTS = 5
_LOST_SHARE = 10  # one in so many training rows may have nothing left to learn


@dataclass(frozen=True)
class Limit:
    """How many tokens fit, and in which words it is said that a row has more, or that nothing is left to learn of it.

    `reason` stands behind the number. `by_base`: more is not to be had from this base.
    """

    num_tokens: int
    reason: str = ""
    by_base: bool = False
    cut: tuple[str, str] = ("is cut to", "are cut to")
    lost: tuple[str, str] = ("has no target", "have no target")

    @staticmethod
    def of(asked: int, num_positions: int | None, lost: tuple[str, str]) -> Limit:
        """As many tokens as are asked for, and as the base has positions for."""
        if num_positions is None or asked <= num_positions:
            return Limit(asked, lost=lost)
        return Limit(num_positions, " (the base has no more positions)", by_base=True, lost=lost)

    def __str__(self) -> str:
        return f"{self.num_tokens:,} token{'s' * (self.num_tokens != 1)}{self.reason}"


@dataclass(frozen=True)
class Encoded(Generic[ExampleT]):
    """Rows as token ids: `lengths` before anything is cut; indices of examples that are cut, or have nothing left to
    learn.

    `faults`: what is wrong with the example of an index, because of a token that the base has no row for. `notes`: what
    else is to be said of the rows. `by_row`: the number of examples of each row, where it may be another than one.
    """

    examples: Sequence[ExampleT]
    lengths: Sequence[int]
    limit: Limit
    cut: Sequence[int] = ()
    without_target: Sequence[int] = ()
    faults: Mapping[int, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    by_row: Sequence[int] = ()

    def note(self, noun: Noun) -> str | None:
        """ "2 of 14 training rows have no target within 128 tokens; 5 are cut; the longest has 512", or None."""
        if not self.cut and not self.without_target:
            return None
        num_cut, num_lost = len(self.cut), len(self.without_target)
        of_all = f"of {len(self.examples):,} {noun[len(self.examples) != 1]}"
        if num_lost:
            said = f"{num_lost:,} {of_all} {self.limit.lost[num_lost != 1]} within {self.limit}; "
            said += f"{num_cut:,} {'is' if num_cut == 1 else 'are'} cut"
        else:
            said = f"{num_cut:,} {of_all} {self.limit.cut[num_cut != 1]} {self.limit}"
        return f"{said}; the longest has {max(self.lengths):,}"

    def checked_notes(self, noun: Noun) -> list[str]:
        """The notes on rows of which every token is known. Raises DataError for others."""
        self.check_tokens(noun)
        return [*self.notes, *([note] if (note := self.note(noun)) else [])]

    def check_tokens(self, noun: Noun) -> None:
        """Every token must have a row in the base's embedding. Raises DataError that names rows, texts and tokens."""
        if lines := self.fault_lines(noun):
            raise DataError("\n".join(lines), Advice("take the token out of the text"), ANOTHER_BASE)

    def fault_lines(self, noun: Noun) -> list[str]:
        """A line for each of the first rows with a token that the base does not know."""
        shown = list(self.faults.items())[:_SHOWN_FAULTS]
        lines = [f"{noun[0]} {index + 1:,}: {fault}" for index, fault in shown]
        more = len(self.faults) - len(shown)
        return [*lines, f"{noun[1]}: {more:,} more with such a token"] if more else lines

    def check_targets(self, noun: Noun, data: DataSection) -> None:
        """There must be something to learn of nearly every training row, or `data.on_long_row` is "cut".

        Raises DataError.
        """
        num_lost, num_examples = len(self.without_target), len(self.examples)
        if num_examples and num_lost * _LOST_SHARE <= num_examples:
            return
        longer = (
            Advice("shorten the texts") if self.limit.by_base else SetKey("data.max_length", note="higher")
        )
        if num_lost == num_examples:
            fault = f"nothing is left to learn of any {noun[0]} within {self.limit}"
            longest = max(self.lengths, default=1)
            raise DataError(f"[data] max_length: {fault}; the longest has {longest:,}", longer)
        if data.on_long_row == "error":
            train = SetKey("data.on_long_row", "cut", "trains on what is left")
            raise DataError(f"[data] max_length: {self.note(noun)}", longer, train)
