"""A tokenizer may know more tokens than the embedding of its base has rows. A text with one of them is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from lorafit.errors import Advice, DataError

_SHOWN_TOKENS = 3
_SHOWN_CHARACTERS = 48
ANOTHER_BASE = Advice("take a base whose embedding has a row for every token of its tokenizer")


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a tokenizer, and the rows of the base's embedding. `rowless`: id -> token without a row."""

    base: str
    num_tokens: int
    num_rows: int
    rowless: Mapping[int, str] = field(default_factory=dict)

    @staticmethod
    def of(tokenizer: PreTrainedTokenizerBase, num_rows: int | None) -> Vocabulary:
        """`num_rows` None: not known, and nothing is refused."""
        return _vocabulary(tokenizer, len(tokenizer), num_rows)

    def note(self) -> str | None:
        """What is said of tokens without a row; None where there are none."""
        if not self.rowless:
            return None
        few = [repr(self.rowless[id_]) for id_ in sorted(self.rowless)[:_SHOWN_TOKENS]]
        more = ", …" if len(self.rowless) > len(few) else ""
        return (
            f"{self.base}: the tokenizer knows {self.num_tokens:,} tokens, and the embedding has "
            f"{self.num_rows:,} rows; a text with one of the others is refused ({', '.join(few)}{more})"
        )

    def faults(self, texts: Iterable[tuple[Iterable[int], str]]) -> dict[int, str]:
        """What is wrong with those of many texts, each given as token ids and spelt out, that have a token without a
        row, by the number of the text."""
        if not self.rowless:
            return {}
        found = {}
        for number, (ids, text) in enumerate(texts):
            if (id_ := next((id_ for id_ in ids if id_ in self.rowless), None)) is not None:
                found[number] = f"{self._said(id_)}: {_excerpt(text, self.rowless[id_])!r}"
        return found

    def check_around(self, ids: Iterable[int]) -> None:
        """The tokens that stand around every text must have rows. Raises DataError for one that has none."""
        for id_ in ids:
            if id_ in self.rowless:
                raise DataError(f"{self.base}: {self._said(id_)}, and it stands in every text", ANOTHER_BASE)

    def _said(self, id_: int) -> str:
        return f"the token {self.rowless[id_]!r} ({id_}) has no row in the embedding, which has {self.num_rows:,}"


@lru_cache(maxsize=4)  # a vocabulary of 100,000 tokens takes a tenth of a second
def _vocabulary(tokenizer: PreTrainedTokenizerBase, num_tokens: int, num_rows: int | None) -> Vocabulary:
    if num_rows is None:
        return Vocabulary(tokenizer.name_or_path, num_tokens, 0)
    rowless = {id_: token for token, id_ in tokenizer.get_vocab().items() if id_ >= num_rows}
    return Vocabulary(tokenizer.name_or_path, num_tokens, num_rows, rowless)


def _excerpt(text: str, token: str) -> str:
    """A few characters of a text, the token among them where the text spells it."""
    start = max(text.find(token) - _SHOWN_CHARACTERS // 2, 0)
    end = start + _SHOWN_CHARACTERS
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
