"""What is done of a long job, a line each, in a file beside the one that will hold the result."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from lorafit.errors import Advice, ChangeArgument, LorafitError, RecipeError
from lorafit.files import JsonObject
from lorafit.run.files.lock import holding


class PartialFile:
    """`<result>.partial`: a line that says what job it is, then one for each value that is done, in order.

    `job` has a hash or a text for each thing that must be the same for the values to be, such as "rows".
    """

    def __init__(self, result: Path, job: Mapping[str, str]) -> None:
        self.path = result.with_name(f"{result.name}.partial")
        self.job = dict(job)

    def locked(self) -> AbstractContextManager[None]:
        """Inside the block no other process works on it. Raises LorafitError while one does."""
        return holding(self.path.with_name(f"{self.path.name}.lock"), str(self.path), "it")

    def read(self) -> list[JsonObject]:
        """The values that are done. A line that was torn is dropped from the file; without any file, one is begun.

        Raises RecipeError for a file of another job.
        """
        try:
            lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
            values = itertools.takewhile(lambda value: value is not None, map(_value, lines))
            whole = [value for value in values if value is not None]
            if whole:
                self._check(whole[0])
                os.truncate(self.path, sum(map(len, lines[: len(whole)])))
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.write_text(json.dumps(self.job) + "\n", encoding="utf-8")
        except OSError as error:
            raise self._cannot(error) from error
        return whole[1:]

    def add(self, value: JsonObject) -> None:
        """Add a value that is done. Raises LorafitError where it cannot be written."""
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(value, allow_nan=False) + "\n")
        except OSError as error:
            raise self._cannot(error) from error

    def drop(self) -> None:
        """Delete the file: all is done, and written elsewhere."""
        self.path.unlink(missing_ok=True)

    def _check(self, theirs: JsonObject) -> None:
        differing = [words for words, value in self.job.items() if theirs.get(words) != value]
        if differing:
            raise RecipeError(
                f"{self.path}: was begun with other {' and '.join(differing)}",
                Advice("give the same again"),
                ChangeArgument("output"),
                Advice("delete that file to begin anew"),
            )

    def _cannot(self, error: OSError) -> LorafitError:
        return LorafitError(f"{self.path}: cannot be written: {error.strerror}")


def _value(line: bytes) -> JsonObject | None:
    """The object on a line; None for one that is torn."""
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
