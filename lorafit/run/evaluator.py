"""Predictions of a split and their scores: of the bare base, of an adapter in training, of an adapter folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lorafit.adapters import read_adapter
from lorafit.adapters.folder import TENSOR_FILE
from lorafit.data import Split
from lorafit.files import JsonObject
from lorafit.metrics.scoring import Scores
from lorafit.models import Model
from lorafit.objectives import AnyObjective, Prediction
from lorafit.run.events import Note, Progress, Report, Scored
from lorafit.run.files.folder import RunFolder
from lorafit.run.files.prediction_cache import PredictionCache
from lorafit.run.session import LoadedBase
from lorafit.training import ProcessGroup


@dataclass(frozen=True)
class Evaluation:
    """Predictions by index, the same as JSON lines, and their scores."""

    predictions: Sequence[Prediction]
    lines: list[JsonObject]
    scores: Scores


@dataclass(frozen=True)
class Evaluator:
    """Predicts rows and scores the predictions; `report` receives the progress."""

    objective: AnyObjective
    report: Report
    group: ProcessGroup

    def predict(
        self, model: Model, rows: Sequence[Any], cache: PredictionCache | None = None
    ) -> list[Prediction]:
        """The prediction of every item, by index. Those in `cache` are not made again.

        Raises InterruptedRunError when a process is asked to stop.
        """
        group, objective = self.group, self.objective
        objective.prepare(model)
        batches = objective.prediction_batches(model, rows)
        done = group.on_leader(lambda: cache.read(batches) if cache else [])
        found = {prediction.index: prediction for batch in done for prediction in batch}
        total = sum(map(len, batches))
        for predictions in objective.predict(model, rows, batches[len(done) :], group):
            found |= {prediction.index: prediction for prediction in predictions}
            if cache and group.is_leader:
                cache.add(predictions)
            self.report(Progress(objective.progress_name, len(found), total))
        return [found[index] for index in range(total)]

    def evaluate(
        self, model: Model, rows: Sequence[Any], cache: PredictionCache | None = None
    ) -> Evaluation | None:
        """Predict and score. Only the leader scores; the other processes get None."""
        return self.scored(rows, self.predict(model, rows, cache))

    def scored(self, rows: Sequence[Any], predictions: Sequence[Prediction]) -> Evaluation | None:
        """Score what was predicted. Only the leader does; the other processes get None."""
        if not self.group.is_leader:
            return None
        lines = self.objective.lines(rows, predictions)
        return Evaluation(predictions, lines, self.objective.score(rows, predictions))


@dataclass(frozen=True)
class RunEvaluator:
    """Scores a run's model on `split` and writes the predictions: of the bare base, and of the best adapter."""

    evaluator: Evaluator
    base: LoadedBase
    folder: RunFolder
    split: Split
    of_base: dict[str, list[Prediction]] = field(default_factory=dict)
    """What the bare base has predicted, by the key of its cache: several runs on one base share them."""

    @property
    def has_rows(self) -> bool:
        """Whether the data have the split."""
        return self.split in self.base.rows

    @property
    def rows(self) -> Sequence[Any]:
        """Those of the split."""
        return self.base.rows[self.split]

    def score(self, who: Literal["base", "adapter"]) -> JsonObject:
        """Predict the split and score it. Only the leader gets the scores, as JSON; the others get {}.

        Raises InterruptedRunError when a process is asked to stop.
        """
        name = self.split if who == "adapter" else f"{self.split}-base"
        rows, cache = self.rows, self.cache(who)
        predictions = self.of_base.get(cache.key) if who == "base" else None
        if predictions is None:
            predictions = self.evaluator.predict(self.base.model, rows, cache)
        if who == "base":
            self.of_base[cache.key] = predictions
        evaluation = self.evaluator.scored(rows, predictions)
        if evaluation is None:
            return {}
        self.folder.write_predictions(name, evaluation.lines)
        cache.drop()
        result = evaluation.scores.to_json()
        self.evaluator.report(Scored(self.split, who, result["scores"], result["signatures"]))
        return {"split": self.split, **result, "inputs": self.base.inputs.to_json()}

    def cache(self, who: Literal["base", "adapter"]) -> PredictionCache:
        """The predictions so far, with these very weights, tokenizer, settings and rows."""
        name = self.split if who == "adapter" else f"{self.split}-base"
        inputs = self.base.inputs
        weights = [
            inputs.sha256("base.config"),
            inputs.sha256("base.weights"),
            inputs.sha256("base.tokenizer"),
        ]
        if who == "adapter" and self.evaluator.group.is_leader:
            weights.append(read_adapter(self.folder.adapter).card.files[TENSOR_FILE].sha256)
        rows: Sequence[str] = [repr(row) for row in self.rows]
        settings = {
            "dtype": self.base.model.placement.dtype_name,
            **self.evaluator.objective.settings(),
        }
        return PredictionCache(
            self.folder.predicting(name), {"weights": weights, "settings": settings, "rows": rows}
        )


def notes_on_metrics(objective: AnyObjective) -> list[Note]:
    """Notes before a long run: which scores cannot be computed, and what to install.

    Raises NotFoundError for a metric of the evaluate library that cannot be loaded.
    """
    missing = objective.missing_metrics()
    return [Note(f"{name} will not be computed: {reason}") for name, reason in missing.items()]
