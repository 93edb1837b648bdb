"""Predictions and scores."""

from lorafit.evaluation.generation import Generated, decode_texts, score_generated

__all__ = ["Generated", "decode_texts", "score_generated"]
