"""The scores of a run: of the bare base before training, of the best adapter after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lorafit.adapters import read_adapter
from lorafit.adapters.folder import TENSOR_FILE
from lorafit.data import Split
from lorafit.run.evaluator import Evaluator
from lorafit.run.events import Scored
from lorafit.run.folder import RunFolder
from lorafit.run.prediction_cache import PredictionCache
from lorafit.run.session import LoadedBase


@dataclass(frozen=True)
class Scorer:
    """Scores the run's model on `split`, and writes the predictions."""

    evaluator: Evaluator
    base: LoadedBase
    folder: RunFolder
    split: Split

    @property
    def has_rows(self) -> bool:
        """Whether the data have the split."""
        return self.split in self.base.rows

    def score(self, who: Literal["base", "adapter"]) -> dict[str, Any]:
        """Predict the split and score it. Only the leader gets the scores, as JSON; the others get {}.

        Raises InterruptedRunError when a process is asked to stop.
        """
        name = self.split if who == "adapter" else f"{self.split}-base"
        rows, cache = self.base.rows[self.split], self._cache(who, name)
        with self.base.placement.autocast():
            evaluation = self.evaluator.evaluate(self.base.model, rows, cache)
        if evaluation is None:
            return {}
        self.folder.write_predictions(name, evaluation.lines)
        cache.drop()
        result = evaluation.scores.to_json()
        self.evaluator.report(Scored(self.split, who, result["scores"], result["signatures"]))
        return result

    def _cache(self, who: str, name: str) -> PredictionCache:
        """The predictions so far, with these very weights, settings and rows."""
        weights = [self.base.card.base.weights_hash]
        if who == "adapter" and self.evaluator.group.is_leader:
            weights.append(read_adapter(self.folder.adapter).card.files[TENSOR_FILE].sha256)
        rows: Sequence[str] = [repr(row) for row in self.base.rows[self.split]]
        settings = self.evaluator.objective.settings()
        return PredictionCache(
            self.folder.predicting(name), {"weights": weights, "settings": settings, "rows": rows}
        )
