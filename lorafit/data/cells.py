"""What a cell means, the same from files with types and without: a text, a number, or a name."""

from __future__ import annotations

import math
import re
import reprlib
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache

_WHOLE = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TRUTHS = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
_MAX_DIGITS = 309  # of a whole number that a float can hold
_SHOWN_NAMES = 20

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 80
_repr.maxlevel = 3


def text_of(column: str, value: object) -> str:
    """The text in a column, as `as_text`. The ValueError names the column."""
    try:
        return as_text(value)
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None


def as_text(value: object) -> str:
    """A cell as a text; a number is written out, as it stands in files without types.

    Raises ValueError for anything else, and for what is no text: half a surrogate pair.
    """
    match value:
        case bool():
            pass
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return str(value)
        case str():
            if fault := _fault_of(value):
                raise ValueError(f"holds {fault}")
            return value
    raise ValueError(f"expected a text, found {shown(value)}")


def number_of(value: object) -> int | float | None:
    """A cell as a number, written out or not; None for anything else, infinity for what no float can hold.

    A text is read as JSON reads it: 7 is exact, 7.0 and 7e0 are the nearest float.
    """
    match value:
        case bool():
            return None
        case str():
            text = plain_name(value)
            if _WHOLE.fullmatch(text):
                return int(text) if len(text) <= _MAX_DIGITS else math.inf
            return float(text) if _NUMBER.fullmatch(text) else None
        case int():
            return value if abs(value) < 10**_MAX_DIGITS else math.inf
        case float():
            return None if math.isnan(value) else value
        case Decimal():
            return float(value) if value.is_finite() else None
    return None


def name_of(value: object) -> str:
    """A cell as the name of a class or a part: 1, 1.0, "1.0" and " 1 " are one name, and so are true and "True".

    "" where there is none. Raises ValueError for what is no name: NaN, infinity, a list, half a surrogate pair.
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return _name_of_text(value)
    number = number_of(value)
    if number is None or math.isinf(number):
        raise ValueError(f"expected a name or a number, found {shown(value)}")
    return _name_of_number(number)


def plain_name(text: str) -> str:
    """A name without what nobody sees: white space and byte-order marks around it, letters composed in two ways."""
    plain = text.strip().strip("\ufeff").strip()
    return plain if plain.isascii() else unicodedata.normalize("NFC", plain)


def repeated(names: Iterable[str]) -> str | None:
    """The first name that looks like an earlier one; None where each is a name of its own. "" may be repeated."""
    seen: set[str] = set()
    for name in names:
        plain = plain_name(name)
        if plain and plain in seen:
            return plain
        seen.add(plain)
    return None


def shown(value: object) -> str:
    """A cell in a message: short, and on one line."""
    return _repr.repr(value)


def shown_names(names: Iterable[str]) -> str:
    """Names of columns or classes in a message: on one line, and not too many."""
    names = list(names)
    more = f", … ({len(names):,} together)" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(n if n.isprintable() and len(n) <= 80 else shown(n) for n in names[:_SHOWN_NAMES]) + more


@lru_cache(maxsize=4096)
def _name_of_text(text: str) -> str:
    if fault := _fault_of(text):
        raise ValueError(f"holds {fault}")
    name = plain_name(text)
    number = number_of(name)
    if number is None:
        return _TRUTHS.get(name, name)
    if math.isinf(number):
        raise ValueError(f"{shown(text)} is too great a number")
    return _name_of_number(number)


def _name_of_number(number: int | float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _fault_of(text: str) -> str:
    """Why a text is none; "" where it is one."""
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "half a surrogate pair, which is no character"
    return ""
