"""Metrics of the evaluate library: a local script is run, a name without a network is one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafit.errors import NotFoundError
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import find_metric, score_texts

SCRIPT = """
import datasets
import evaluate

class Lengths(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="lengths", citation="", inputs_description="",
            features=datasets.Features({{"predictions": text, "references": {references}}}),
        )

    def _compute(self, predictions, references):
        {body}
"""
GROUPS = "datasets.Sequence(text)"


pytestmark = pytest.mark.usefixtures("evaluate_cache")


def script(folder: Path, body: str, references: str = GROUPS) -> str:
    path = folder / "lengths.py"
    path.write_text(SCRIPT.format(body=body, references=references))
    return str(path)


def test_a_local_script_gives_its_numbers_and_the_means_of_its_lists(tmp_path: Path) -> None:
    body = 'return {"words": 3, "sizes": [len(group) for group in references], "hash": "none"}'
    scores = score_texts(
        SCORERS["e2e-metrics"],
        ["a", "b"],
        [["x", "y", ""], ["z"]],
        metrics=["rouge_l", script(tmp_path, body)],
    )
    assert scores.all == {"rouge_l": 0.0, "lengths_words": 3.0, "lengths_sizes": 1.5}
    assert scores.signatures["lengths_words"].startswith("evaluate:lengths|version:")


def test_a_metric_of_one_reference_gets_the_first_and_says_so(tmp_path: Path) -> None:
    body = 'return {"lengths": float(sum(p == r for p, r in zip(predictions, references)))}'
    name = script(tmp_path, body, references="text")
    [score] = find_metric(name, "text").compute(["x", "y"], [["", "x", "q"], ["z", "y"]])
    assert (score.name, score.value) == ("lengths", 1.0)
    assert score.signature.endswith("refs:first")


def test_a_script_that_fails_has_a_reason(tmp_path: Path) -> None:
    [score] = find_metric(script(tmp_path, "raise RuntimeError('no luck')"), "text").compute(["a"], [["a"]])
    assert score.value is None
    assert score.reason.endswith("lengths.py failed: RuntimeError: no luck")


def test_not_a_number_is_no_score(tmp_path: Path) -> None:
    [score] = find_metric(script(tmp_path, "return {'x': float('nan')}"), "text").compute(["a"], [["a"]])
    assert (score.value, score.reason) == (None, f"{tmp_path}/lengths.py gives nan")


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    metric = find_metric(str(tmp_path / "none.py"), "text")
    assert metric.unavailable() == f"no metric script {tmp_path}/none.py"
    with pytest.raises(NotFoundError, match="no metric script"):
        metric.compute(["a"], [["a"]])


def test_a_name_without_a_network_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluate.config

    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
    with pytest.raises(
        NotFoundError, match=r"(?s)'evaluate:bertscore' cannot be loaded.*without a network"
    ) as caught:
        find_metric("evaluate:bertscore", "text").compute(["a"], [["a"]])
    assert "\n" not in str(caught.value)


def test_labels_go_through_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "share.py"
    path.write_text(
        SCRIPT.format(
            body='return {"share": sum(p == r for p, r in zip(predictions, references)) / 4}',
            references="text",
        ).replace('Value("string")', 'Value("int64")')
    )
    [score] = find_metric(str(path), "label").compute([0, 1, 1, 0], [0, 1, 0, 0])
    assert score.value == 0.75
