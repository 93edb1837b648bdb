"""Fifty published outputs of each corpus get the official scorers' figures (tests/assets/scoring says whence)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorafit.metrics import METRICS
from lorafit.metrics.files import read_predictions, read_references, read_splits
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import score_texts

SAMPLES = Path(__file__).parents[1] / "assets" / "scoring"
CASES = [("e2e", "e2e-metrics")] + [
    (corpus, scorer) for corpus in ("dart", "webnlg") for scorer in ("webnlg-challenge", "generation-eval")
]


WITH_METEOR = [CASES[0], ("webnlg", "webnlg-challenge")]  # takes 10 s; the others have the same figures


@pytest.mark.parametrize(("corpus", "scorer"), CASES)
def test_published_outputs(corpus: str, scorer: str) -> None:
    folder = SAMPLES / corpus
    predictions = read_predictions(folder / "predictions.txt")
    assert len(predictions) == 50
    references = read_references(sorted(folder.glob("reference*.txt")), 50)
    splits = read_splits(folder / "splits.txt", 50) if corpus == "webnlg" else None
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))[scorer]
    wanted = expected if splits else {"all": expected}
    if METRICS["meteor"].unavailable() or (corpus, scorer) not in WITH_METEOR:
        for figures in wanted.values():
            del figures["meteor"]
    names = list(wanted["all"])
    scores = score_texts(SCORERS[scorer], predictions, references, metrics=names, splits=splits)
    assert scores.parts.keys() == wanted.keys()
    for part, figures in wanted.items():
        found = {name: scores.parts[part][name] for name in figures}
        assert found == pytest.approx(figures, rel=1e-9), part


def test_every_scorer_of_published_outputs_has_samples() -> None:
    assert {scorer for _, scorer in CASES} == set(SCORERS) - {"plain"}
