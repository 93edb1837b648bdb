"""Predictions and scores."""

from lorafit.evaluation.generation import Generated, decode_texts, score_generated
from lorafit.evaluation.labels import (
    Labelled,
    collate,
    decide,
    encode_for,
    label_outputs,
    predict_outputs,
    score_labelled,
)

__all__ = [
    "Generated",
    "Labelled",
    "collate",
    "decide",
    "decode_texts",
    "encode_for",
    "label_outputs",
    "predict_outputs",
    "score_generated",
    "score_labelled",
]
