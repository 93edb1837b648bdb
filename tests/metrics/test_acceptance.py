"""Published system outputs get the official scorers' figures (development data beside the repository)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lorafit.metrics import METRICS
from lorafit.metrics.files import read_predictions, read_references, read_splits
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import Scores, score_texts

KEYS = {
    "BLEU": "bleu",
    "NIST": "nist_perl",
    "NIST_pymteval": "nist",
    "METEOR": "meteor",
    "ROUGE_L": "rouge_l",
    "CIDEr": "cider",
    "TER": "ter",
    "chrF++": "chrf",
}
GLUE_NAMES = {"matthews_correlation": "matthews", "spearmanr": "spearman"}


@pytest.fixture(scope="module")
def acceptance(shared: Path) -> Path:
    return shared / "acceptance"


def expected(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "expected.json").read_text(encoding="utf-8")))


def score(
    scorer: str,
    metrics: list[str],
    predictions: Path,
    references: list[Path],
    splits: Path | None = None,
) -> Scores:
    lines = read_predictions(predictions)
    groups = read_references(references, len(lines))
    labels = read_splits(splits, len(lines)) if splits else None
    return score_texts(SCORERS[scorer], lines, groups, metrics=metrics, splits=labels)


def assert_agree(figures: dict[str, float | None], wanted: dict[str, Any], scale: float = 1.0) -> None:
    """Every figure that was computed, within its tolerance; METEOR only where there is Java."""
    compared = {name: figure for name, figure in wanted.items() if KEYS[name] in figures}
    assert len(compared) == len(figures)
    for name, figure in compared.items():
        value = figures[KEYS[name]]
        if value is None:
            assert name == "METEOR"
            assert METRICS["meteor"].unavailable()
            continue
        value *= scale if name == "BLEU" else 1
        assert value == pytest.approx(figure["value"], abs=figure["tol"]), name


@pytest.mark.parametrize(("system", "more"), [("tgen", ["meteor"]), ("sheff2", [])])
def test_e2e(acceptance: Path, system: str, more: list[str]) -> None:
    folder = acceptance / "e2e"
    metrics = ["bleu", "nist", "nist_perl", "rouge_l", "cider", *more]
    scores = score("e2e-metrics", metrics, folder / f"{system}.pred.txt", [folder / "references.txt"])
    assert_agree(scores.all, expected(folder)["cases"][system]["scores"], scale=0.01)


@pytest.mark.parametrize(
    ("scorer", "key", "metrics"),
    [
        ("webnlg-challenge", "dart_official", ["bleu", "meteor", "ter"]),
        ("generation-eval", "generationeval", ["bleu", "ter", "chrf"]),
    ],
)
def test_dart(acceptance: Path, scorer: str, key: str, metrics: list[str]) -> None:
    folder = acceptance / "dart"
    references = sorted(folder.glob("reference*"))
    scores = score(scorer, metrics, folder / "bart-large.pred.txt", references)
    assert_agree(scores.all, expected(folder)["scores"][key])


@pytest.mark.parametrize(
    ("scorer", "key", "metrics"),
    [
        ("webnlg-challenge", "challenge_official", ["bleu", "meteor", "ter"]),
        ("generation-eval", "generationeval_nr3", ["bleu", "ter", "chrf"]),
    ],
)
def test_webnlg(acceptance: Path, scorer: str, key: str, metrics: list[str]) -> None:
    folder = acceptance / "webnlg17"
    references = sorted(folder.glob("reference*"))
    predictions, splits = folder / "melbourne.pred.txt", folder / "splits.tsv"
    scores = score(scorer, metrics, predictions, references, splits)
    for part in ("all", "seen", "unseen"):
        assert_agree(scores.parts[part], expected(folder)["cases"]["melbourne"][key][part])


@pytest.mark.parametrize(
    "name", ["cola", "cola_constant", "mnli", "mrpc", "qqp", "sst2", "stsb", "stsb_ties"]
)
def test_glue(acceptance: Path, name: str) -> None:
    case = json.loads((acceptance / "glue" / f"{name}.json").read_text(encoding="utf-8"))
    for metric, value in case["expected"].items():
        [found] = METRICS[GLUE_NAMES.get(metric, metric)].compute(case["predictions"], case["labels"])
        assert found.value == pytest.approx(value, abs=1e-12)
