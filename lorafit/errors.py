"""The errors a user can cause, the exit code each one leads to, and the lookup of names that a user gives.

LorafitError                1
├── RecipeError             2   a recipe, an override or a command line that cannot be used
├── NotFoundError           3   data, model or adapter that is not there
├── DataError               3   a file or a row that is there and cannot be read as what it should be
├── OutOfMemoryError        4
├── DivergedError           5   the loss is NaN or infinite, or nothing learns
├── AdapterError            6   an adapter that cannot be used; each kind is a verdict of `lorafit verify`
│   ├── DamagedError        6   a file of it was cut, overwritten or edited
│   ├── WrongBaseError      6   it belongs to another base
│   ├── WrongScaleError     6   its r or alpha is not what it was trained with
│   ├── NotAppliedError     6   it changes nothing
│   └── NotMergeableError   6   a method whose result cannot be written into the base weights
└── InterruptedRunError    75   stopped by a signal or a time limit; the run can be resumed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import ClassVar, TypeVar

V = TypeVar("V")


class LorafitError(Exception):
    """Something the user can put right: one line that says where, what, and what to do."""

    exit_code: ClassVar[int] = 1


class RecipeError(LorafitError):
    """A recipe, an override or an argument that cannot be used. May hold several lines, one per fault."""

    exit_code = 2


class NotFoundError(LorafitError):
    """Data, a model or an adapter that is missing."""

    exit_code = 3


class DataError(LorafitError):
    """A file or a row that is there, and is damaged or malformed. May hold several lines, one per row."""

    exit_code = 3


class OutOfMemoryError(LorafitError):
    """The work did not fit into memory."""

    exit_code = 4


class DivergedError(LorafitError):
    """Training went wrong: NaN, infinity, or parameters that do not move."""

    exit_code = 5


class AdapterError(LorafitError):
    """An adapter that cannot be used; `verdict` is what `lorafit verify` says of it."""

    exit_code = 6
    verdict: ClassVar[str] = "does not fit"


class DamagedError(AdapterError):
    """A file of the adapter is cut, overwritten or edited: the message says which, and where."""

    verdict = "corrupted file"


class WrongBaseError(AdapterError):
    """The adapter was trained on another base."""

    verdict = "wrong base"


class WrongScaleError(AdapterError):
    """The adapter's r or alpha is not the one it was trained with."""

    verdict = "wrong alpha or r"


class NotAppliedError(AdapterError):
    """With the adapter the model answers as without it, but trained it did not."""

    verdict = "adapter not applied"


class NotMergeableError(AdapterError):
    """A method that changes more than weights, so that nothing can be merged."""


class InterruptedRunError(LorafitError):
    """Stopped on request with a checkpoint written: run the same command again to go on."""

    exit_code = 75


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the nearest known word, or "" when none is near."""
    near = difflib.get_close_matches(word.lower(), {k.lower(): k for k in known}, n=1, cutoff=0.5)
    if not near:
        return ""
    original = next(k for k in known if k.lower() == near[0])
    return f"; did you mean {original!r}?"


def lookup(
    registry: Mapping[str, V],
    name: str,
    what: str,
    *,
    where: str = "",
    more: str = "",
    error: type[LorafitError] = RecipeError,
) -> V:
    """The entry of that name, or an error that offers the nearest name and lists all of them.

    lookup(METRICS, "blue", "metric", where="[eval] metrics")
        -> [eval] metrics: no metric 'blue'; did you mean 'bleu'? there are accuracy, f1, ...
    `more` is said behind the names: what else would do.
    """
    if name in registry:
        return registry[name]
    place = f"{where}: " if where else ""
    hint = did_you_mean(name, registry) or ";"
    raise error(f"{place}no {what} {name!r}{hint} there are {', '.join(registry)}{more}")
