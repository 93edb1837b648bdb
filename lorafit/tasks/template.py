"""A text from the columns of a row: one column's, or a template such as "Q: {question}\\nA:"."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from lorafit.data.cells import shown_names, text_of
from lorafit.errors import did_you_mean


@dataclass(frozen=True)
class Template:
    """Literal texts, each with the column that follows it ("" for none)."""

    pieces: tuple[tuple[str, str], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a row must have, each once."""
        return tuple(dict.fromkeys(column for _, column in self.pieces if column))

    def render(self, fields: Mapping[str, object]) -> str:
        """The text for a row. Raises ValueError for a field that is no text."""
        return "".join(
            literal + (text_of(column, fields.get(column)) if column else "")
            for literal, column in self.pieces
        )


@lru_cache
def parse_template(text: str) -> Template:
    """A column's name, or a template: a brace makes it one, and `{{` is a brace itself.

    Raises ValueError for braces that do not close, and for more in them than a column's name.
    """
    if not {"{", "}"} & set(text):
        return Template((("", text),))
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is no template: {error}; write {{{{ and }}}} for braces") from None
    for _, column, form, conversion in parsed:
        if column is not None and (not column or form or conversion):
            raise ValueError(f"{text!r} is no template: only the name of a column may stand between braces")
    if not any(column for _, column, _, _ in parsed):
        raise ValueError(f"{text!r} names no column: every row would have the same text")
    return Template(tuple((literal, column or "") for literal, column, _, _ in parsed))


def require_columns(columns: Iterable[str], fields: Mapping[str, object]) -> None:
    """Raises ValueError for the first of the columns that is not among the fields."""
    for column in columns:
        if column not in fields:
            has = shown_names(fields) or "nothing"
            raise ValueError(f"no column {column!r}{did_you_mean(column, fields) or ';'} it has {has}")
