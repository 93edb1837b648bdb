"""Scores of predictions against references: one file a metric, and `METRICS` to find them by name.

Scorers compute the same name in different ways: each way is an entry of its own, and `protocols.PROTOCOLS`
says which ones a task's scorer takes. Heavy libraries are imported when a metric is computed.
"""

from lorafit.metrics.files import read_predictions, read_references, read_splits
from lorafit.metrics.registry import METRICS, find_metric
from lorafit.metrics.score import Kind, Metric, Score
from lorafit.metrics.texts import Scores, check_metric_names, missing_metrics, score_texts, text_metrics

__all__ = [
    "METRICS",
    "Kind",
    "Metric",
    "Score",
    "Scores",
    "check_metric_names",
    "find_metric",
    "missing_metrics",
    "read_predictions",
    "read_references",
    "read_splits",
    "score_texts",
    "text_metrics",
]
