"""Files of texts and references -> scores, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafit.metrics.files import read_predictions, read_references, read_splits
from lorafit.metrics.scorers import find_scorer
from lorafit.metrics.scoring import Scores, score_texts, text_metrics


@dataclass(frozen=True)
class ScoreResult:
    """The scores; `missing` are those that the caller named and that could not be computed."""

    scores: Scores
    missing: tuple[str, ...]


def score(
    task: str,
    predictions: Path,
    references: Sequence[Path],
    split_file: Path | None,
    protocol: str,
    metrics: Sequence[str] | None,
) -> ScoreResult:
    """Score a system's output as the challenge (`protocol` "official") or the LoRA paper ("paper") does.

    Raises RecipeError for an unknown task, protocol or metric, NotFoundError for a missing file, DataError for
    files that are malformed or do not fit each other.
    """
    scorer = find_scorer(task, protocol)
    text_metrics(scorer, metrics)  # an unknown name is an error before any file is read
    texts = read_predictions(predictions)
    groups = read_references(references, len(texts))
    splits = read_splits(split_file, len(texts)) if split_file is not None else None
    scores = score_texts(scorer, texts, groups, metrics=metrics, splits=splits)
    missing = tuple(name for name in scores.reasons if metrics is not None)
    return ScoreResult(scores, missing)
