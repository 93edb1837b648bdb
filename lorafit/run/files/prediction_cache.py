"""Predictions so far, on disk batch by batch, so that an interrupted evaluation continues where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lorafit.errors import LorafitError
from lorafit.objectives import Prediction


class PredictionCache:
    """A file of finished batches. `key` stands for model, settings and rows; predictions of another key are dropped.

    Every attempt has the same batches in the same order, and so the same predictions.
    """

    def __init__(self, path: Path, key: Mapping[str, object]) -> None:
        self.path = path
        self.key = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()

    def read(self, batches: Sequence[Sequence[int]]) -> list[list[Prediction]]:
        """The predictions of the first batches, as far as they are done; the rest of the file is dropped."""
        done: list[list[Prediction]] = []
        for batch, predictions in zip(batches, self._finished(), strict=False):
            if sorted(prediction.index for prediction in predictions) != sorted(batch):
                break
            done.append(predictions)
        self._write("w", "".join(self._line(predictions) for predictions in done))
        return done

    def add(self, predictions: Sequence[Prediction]) -> None:
        """Add a batch. Raises LorafitError when it cannot be written."""
        self._write("a", self._line(predictions))

    def drop(self) -> None:
        """Delete the file: every prediction is made, and written elsewhere."""
        self.path.unlink(missing_ok=True)

    def _line(self, predictions: Sequence[Prediction]) -> str:
        values = [
            [each.index, each.value, *([each.evidence] if each.evidence else [])] for each in predictions
        ]
        return json.dumps({"key": self.key, "predictions": values}) + "\n"

    def _finished(self) -> list[list[Prediction]]:
        """The batches of this key, up to the first line that is incomplete."""
        finished = []
        try:
            for text in self.path.read_text(encoding="utf-8").splitlines():
                line = json.loads(text)
                if line["key"] != self.key:
                    break
                finished.append([_prediction(*values) for values in line["predictions"]])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # there is no file, or its last line is incomplete
        return finished

    def _write(self, mode: str, text: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(mode, encoding="utf-8") as stream:
                stream.write(text)
        except OSError as error:
            raise LorafitError(f"{self.path}: cannot be written: {error.strerror}") from error


def _prediction(index: int, value: str | float | list[int], evidence: Sequence[float] = ()) -> Prediction:
    return Prediction(index, tuple(value) if isinstance(value, list) else value, tuple(evidence))
