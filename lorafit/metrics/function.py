"""A metric of one's own: a function in a Python file, named "metrics.py:function"."""

from __future__ import annotations

import ast
import hashlib
import math
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

from lorafit.errors import NotFoundError, RecipeError, did_you_mean
from lorafit.files import local_path
from lorafit.metrics.score import Metric, Reads, Score

_MARK = ".py:"

MetricFunction = Callable[[list[Any], list[Any]], object]
"""predictions, references -> a number, or several by name. Texts, names of labels or numbers; of a text, all of its
references."""


def is_function(name: str) -> bool:
    """Whether a metric's name is "FILE.py:FUNCTION"."""
    return _MARK in name


def function_files(names: Iterable[str]) -> dict[str, str]:
    """The sha256 of the file of every function among the names of metrics. Raises NotFoundError."""
    return {name: FunctionMetric(name, "text").sha256() for name in names if is_function(name)}


@dataclass(frozen=True)
class FunctionMetric(Metric[Any, Any]):
    """What a function gives. Its file is run when a recipe or a command names it, and at no other time.

    A number becomes a score by the function's name; of {"a": 1} the score is "a".
    """

    keys: tuple[str, ...] = ()  # known only when computed
    reads: Reads = "name"

    @property
    def headline(self) -> str:
        """What the score of a function is called that returns a number."""
        return self.function

    @property
    def path(self) -> Path:
        """The file."""
        return local_path(self.name[: self.name.rindex(_MARK) + len(_MARK) - 1])

    @property
    def function(self) -> str:
        """The function's name."""
        return self.name[self.name.rindex(_MARK) + len(_MARK) :]

    def check(self) -> None:
        """Whether the file is there and defines the function, without running it.

        Raises NotFoundError or RecipeError.
        """
        source = self._read()
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError) as error:
            line = error.lineno if isinstance(error, SyntaxError) else 1
            raise RecipeError(f"{self.path}:{line}: is no Python: {error.args[0]}") from None
        names = [name for statement in tree.body for name in _defined(statement)]
        if self.function not in names:
            hint = did_you_mean(self.function, names) or (f"; it has {', '.join(names)}" if names else "")
            raise RecipeError(f"{self.path}: no function {self.function!r}{hint}")

    def sha256(self) -> str:
        """Of the file. Raises NotFoundError."""
        return hashlib.sha256(self._read()).hexdigest()

    def load(self) -> MetricFunction:
        """Run the file as it is now: Python would take bytecode that it keeps for one of the same second and size.

        Raises NotFoundError where that fails, RecipeError where it then has no such function.
        """
        self.check()
        module = ModuleType(f"lorafit_metric_{self.path.stem}")
        module.__file__ = str(self.path)
        sys.path.insert(0, str(self.path.resolve().parent))  # its neighbours, as for a script
        try:
            exec(compile(self._read(), self.path, "exec"), vars(module))
        except Exception as fault:  # a stranger's file may raise anything
            raise NotFoundError(f"{self._place(fault)}: {_told(fault)}") from fault
        finally:
            sys.path.pop(0)
        function: MetricFunction | None = getattr(module, self.function, None)
        if not callable(function):
            raise RecipeError(f"{self.path}: {self.function!r} is no function")
        return function

    def compute(self, predictions: Sequence[Any], references: Sequence[Any]) -> list[Score]:
        """Its scores. One that fails, or returns something else, has a reason. Raises what `load` raises."""
        function = self.load()
        signature = f"{self.path.name}:{self.function}|sha256:{self.sha256()[:16]}"
        try:
            given = function(list(predictions), list(references))
        except Exception as fault:  # hours of training must not be lost
            return [Score(self.function, None, signature, f"{self._place(fault)}: {_told(fault)}")]
        found = dict(given) if isinstance(given, Mapping) else {self.function: given}
        return [self._score(name, value, signature) for name, value in found.items()] or [
            Score(self.function, None, signature, f"{self.name} returned no score")
        ]

    def _score(self, name: object, value: object, signature: str) -> Score:
        if not isinstance(name, str) or not name:
            return Score(
                self.function, None, signature, f"{self.name} called a score {name!r}, which is no name"
            )
        if isinstance(value, bool) or not isinstance(value, Real):
            what = f"{self.name} returned {value!r:.60}; a number is expected, or numbers by name"
            return Score(name, None, signature, what)
        number = float(value)
        if not math.isfinite(number):
            return Score(name, None, signature, f"{self.name} returned {number}")
        return Score(name, number, signature)

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise NotFoundError(f"{self.path}: no such file of metrics ({error.strerror})") from None

    def _place(self, fault: Exception) -> str:
        """The file, and the line in it where it failed."""
        lines = [frame.lineno for frame in traceback.extract_tb(fault.__traceback__) if self._is_ours(frame)]
        return f"{self.path}:{lines[-1]}" if lines else str(self.path)

    def _is_ours(self, frame: traceback.FrameSummary) -> bool:
        return Path(frame.filename).resolve() == self.path.resolve()


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a statement of a file gives to what may be a function."""
    match statement:
        case ast.FunctionDef(name=name):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [alias.asname or alias.name for alias in names]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


def _told(fault: Exception) -> str:
    said = next(iter(str(fault).strip().splitlines()), "")
    return f"{type(fault).__name__}: {said}" if said else type(fault).__name__
