"""The errors a user can cause, the exit code each one leads to, and the lookup of names that a user gives.

LorafitError                1
├── RecipeError             2   a recipe, an override or an argument that cannot be used
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

What the user can do about an error is data, `Remedy`: the message names the key or the argument to change, and the
command line puts them into its own options.

    raise RecipeError(f"{folder}: is not a run folder", ChangeArgument("output"))
"""

from __future__ import annotations

import difflib
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

V = TypeVar("V")
Value = str | int | float | bool


@dataclass(frozen=True)
class SetKey:
    """Set a key of the recipe; the user chooses where no `value` is given. `note` says which way, or what it costs."""

    key: str
    value: Value | None = None
    note: str = ""

    @property
    def assignment(self) -> str:
        """section.key=value, with an ellipsis for a value that the user chooses."""
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.key}={'…' if value is None else value}"

    def __str__(self) -> str:
        return f"set {self.key if self.value is None else self.assignment}{noted(self.note)}"


@dataclass(frozen=True)
class SetArgument:
    """Pass an argument of the call; the user chooses where no `value` is given."""

    name: str
    value: Value | None = None
    note: str = ""

    def __str__(self) -> str:
        given = self.name if self.value is None else f"{self.name}={self.value!r}"
        return f"pass `{given}`{noted(self.note)}"


@dataclass(frozen=True)
class ChangeArgument:
    """Pass another value of an argument that was passed, or has a default."""

    name: str

    def __str__(self) -> str:
        return f"choose another `{self.name}`"


@dataclass(frozen=True)
class DropArgument:
    """Do not pass an argument."""

    name: str

    def __str__(self) -> str:
        return f"leave out `{self.name}`"


@dataclass(frozen=True)
class RunCommand:
    """Run a command in the shell. It needs no options: `lorafit fetch NAME`, `hf auth login`."""

    command: str
    note: str = ""

    def __str__(self) -> str:
        return f"run `{self.command}`{noted(self.note)}"


@dataclass(frozen=True)
class Advice:
    """Something to do outside the program, in words."""

    text: str

    def __str__(self) -> str:
        return self.text


Remedy = SetKey | SetArgument | ChangeArgument | DropArgument | RunCommand | Advice


class LorafitError(Exception):
    """Something the user can put right: where, what, and the remedies, any of which helps.

    `message` reads "where: what". `str(error)` adds the remedies in words, with arguments as a caller in Python passes
    them; the command line renders `remedies` itself.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *remedies: Remedy) -> None:
        super().__init__(message, *remedies)
        self.message = message
        self.remedies = remedies
        self._joined: tuple[LorafitError, ...] = ()

    @classmethod
    def joined(cls, errors: Sequence[LorafitError]) -> Self:
        """One error with a line for each of several; equal ones share a line."""
        distinct: dict[str, LorafitError] = {}
        for part in (part for error in errors for part in error.parts):
            distinct.setdefault(str(part), part)
        remedies = [remedy for part in distinct.values() for remedy in part.remedies]
        joined = cls("\n".join(part.message for part in distinct.values()), *remedies)
        joined._joined = tuple(distinct.values())
        return joined

    @property
    def parts(self) -> tuple[LorafitError, ...]:
        """The errors that were joined into this one; mostly itself alone."""
        return self._joined or (self,)

    @property
    def where(self) -> str:
        """The file, key or argument that is at fault; "" where the message names none."""
        where, colon, _ = self.message.partition(": ")
        return where if colon else ""

    @property
    def what(self) -> str:
        """What is wrong there."""
        return self.message.removeprefix(f"{self.where}: ")

    def __str__(self) -> str:
        if self._joined:
            return "\n".join(map(str, self._joined))
        return with_remedies(self.message, list(map(str, self.remedies)))


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
    """The model answers with the adapter as it does without, and did not when it was trained."""

    verdict = "adapter not applied"


class NotMergeableError(AdapterError):
    """A method that changes more than weights, so that nothing can be merged."""


class InterruptedRunError(LorafitError):
    """Stopped on request with a checkpoint written: the same command continues the run."""

    exit_code = 75


RUN_AGAIN = Advice("run the same command again to continue")


def with_remedies(message: str, remedies: Sequence[str]) -> str:
    """ "message; this, or that, or yet another"; below a message of several lines, on a line of their own."""
    if not remedies:
        return message
    joint = "\n" if "\n" in message else " " if message.endswith("?") else "; "
    return message + joint + ", or ".join(remedies)


_ADVICE = re.compile(
    r"https?://|\b(weights_only|trust_remote_code|install(ed|ing)?|log ?in|tokens?|re-?run(ning)?|upgrade|update|please"
    r"|make sure|consider|try|you (can|could|need|should|may|might|have|must|want))\b|=\s*(True|False)\b",
    re.IGNORECASE,
)
_SHOWN_CHARACTERS = 200


def reason_of(error: BaseException) -> str:
    """Why a library gave up, in one line: in its own words, unless they give advice; then only the kind of the error.

    Libraries advise what this program does not do: to run the code in a file, to install something, to log in.
    """
    words = re.sub(r":\s*\n\s*", ": ", str(error).strip())
    if isinstance(error, KeyError):
        return f"no key {words}"
    if isinstance(error, struct.error):
        return "it ends too early"
    line = next(iter(words.splitlines()), "")
    if not line or _ADVICE.search(line):
        return type(error).__name__
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"


def noted(note: str) -> str:
    """A note behind a remedy, in parentheses."""
    return f" ({note})" if note else ""


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
