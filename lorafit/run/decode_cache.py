"""Decoding that is not begun anew: what is done is on disk, batch by batch, until the whole is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lorafit.errors import LorafitError


class Kept:
    """A file of finished batches. `key` says what was decoded with what; of another key nothing is taken over.

    Batches are the same ones in the same order in every attempt, so that the texts are too.
    """

    def __init__(self, path: Path, key: Sequence[Any]) -> None:
        self.path = path
        self.key = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()

    def read(self, batches: Sequence[Sequence[int]]) -> list[list[tuple[int, str]]]:
        """The results of the first so many of these batches; anything else in the file is dropped."""
        done: list[list[tuple[int, str]]] = []
        for batch, line in zip(batches, self._lines(), strict=False):
            if line.get("key") != self.key or sorted(index for index, _ in line["texts"]) != sorted(batch):
                break
            done.append([(index, text) for index, text in line["texts"]])
        self._write("w", "".join(self._line(texts) for texts in done))
        return done

    def add(self, texts: Sequence[tuple[int, str]]) -> None:
        """Another batch. Raises LorafitError when it cannot be written."""
        self._write("a", self._line(texts))

    def drop(self) -> None:
        """All is done, and the predictions are written."""
        self.path.unlink(missing_ok=True)

    def _line(self, texts: Sequence[tuple[int, str]]) -> str:
        return json.dumps({"key": self.key, "texts": [list(pair) for pair in texts]}) + "\n"

    def _lines(self) -> list[dict[str, Any]]:
        lines = []
        try:
            for text in self.path.read_text(encoding="utf-8").splitlines():
                lines.append(json.loads(text))
        except (OSError, ValueError):
            pass  # not there, or its last line was not finished
        return lines

    def _write(self, mode: str, text: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(mode, encoding="utf-8") as stream:
                stream.write(text)
        except OSError as error:
            raise LorafitError(f"{self.path}: cannot be written: {error.strerror}") from error
