"""Options of runs on one's own data: patience, class weights, metrics of one's own, perplexity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafit.errors import InterruptedRunError, NotFoundError, RecipeError
from lorafit.run.options import TrainOptions
from lorafit.run.plan import load_plan
from lorafit.run.train import train
from lorafit.training import ProcessGroup
from tests.support.rows import save_rows
from tests.support.stops import StopAt
from tests.support.tiny_encoders import save_encoder, sentences

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that learns nothing, since its rate is too small."""
    folder = tmp_path_factory.mktemp("own")
    base = save_encoder(folder / "base", "roberta")
    rows = [{"text": text, "label": ("bad", "good")[label]} for text, label in sentences(24)]
    data = save_rows(folder / "rows.jsonl", rows)
    path = folder / "own.toml"
    path.write_text(
        f'extends = "own_classification"\n[model]\nbase = "{base}"\n[data]\ntrain = "{data}"\nvalid = "{data}"\n'
        "max_length = 32\n[train]\nepochs = 6\nbatch_size = 8\nlearning_rate = 1e-8\nlog_every = 1\n"
        "checkpoint_every = 100\n"
    )
    return path


def run(
    recipe: Path, folder: Path, *overrides: str, group: ProcessGroup | None = None, **options: Any
) -> tuple[dict[str, Any], list[str], list[dict[str, Any]]]:
    """Scores, notes and logged events."""
    seen: list[Any] = []
    result = train(
        load_plan(recipe, overrides), folder, seen.append, TrainOptions(**options), group or ProcessGroup()
    )
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return result.scores, [event.text for event in seen if hasattr(event, "text")], log


def epochs(log: list[dict[str, Any]]) -> list[int]:
    return [event["epoch"] for event in log if event["event"] == "validation"]


def test_training_ends_when_no_epoch_was_better_for_so_long(recipe: Path, tmp_path: Path) -> None:
    _, notes, log = run(recipe, tmp_path / "run", "train.patience=2")
    assert epochs(log) == [1, 2, 3]
    assert any("no better validation for 2 epochs" in note for note in notes)
    assert all(event["grad_norm"] > 0 for event in log if event["event"] == "step")
    _, notes, log = run(recipe, tmp_path / "all", "train.patience=9")
    assert epochs(log) == [1, 2, 3, 4, 5, 6]


def test_a_run_without_patience_that_was_cut_off_ends_where_it_would_have(
    recipe: Path, tmp_path: Path
) -> None:
    whole = run(recipe, tmp_path / "whole", "train.patience=2")
    for looks in (5, 8):
        with pytest.raises(InterruptedRunError):
            run(recipe, tmp_path / "cut", "train.patience=2", group=ProcessGroup(StopAt(looks)))
    cut = run(recipe, tmp_path / "cut", "train.patience=2")
    assert (cut[0], epochs(cut[2])) == (whole[0], epochs(whole[2]))


def test_a_longer_run_is_patient_anew(recipe: Path, tmp_path: Path) -> None:
    run(recipe, tmp_path / "run", "train.patience=1")
    more = ("train.patience=1", "train.epochs=8")
    _, _, log = run(recipe, tmp_path / "run", *more, extend=True)
    assert epochs(log) == [1, 2, 3]


def test_patience_needs_a_validation_split(recipe: Path) -> None:
    with pytest.raises(RecipeError, match=r"\[train\] patience: there is no validation split"):
        load_plan(recipe, ["train.patience=2", "unset=data.valid"])


def test_an_error_as_headline_chooses_the_epoch_with_the_least(recipe: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "label": 1.0 + 4 * label} for text, label in sentences(24)]
    data = save_rows(tmp_path / "rows.jsonl", rows)
    changes = [f"data.{split}={data}" for split in ("train", "valid")]
    changes += ["task.name=regression", 'task.metrics=["rmse", "r2"]', "train.learning_rate=0.01"]
    scores, _, log = run(recipe, tmp_path / "run", *changes)
    validations = [event for event in log if event["event"] == "validation"]
    least = min(event["scores"]["rmse"] for event in validations)
    assert scores["scores"]["rmse"] == pytest.approx(least)
    assert [event for event in validations if event["best"]][-1]["scores"]["rmse"] == least


def test_balanced_weights_are_recorded_and_train(recipe: Path, tmp_path: Path) -> None:
    rows = [
        {"text": text, "label": "good" if i % 6 == 1 else "bad"} for i, (text, _) in enumerate(sentences(24))
    ]
    data = save_rows(tmp_path / "rows.jsonl", rows)
    scores, _, _ = run(recipe, tmp_path / "run", f"data.train={data}", "task.class_weights=balanced")
    card = json.loads((tmp_path / "run" / "adapter" / "adapter.json").read_text())
    assert card["task"]["class_weights"] == pytest.approx([24 / (2 * 20), 24 / (2 * 4)])
    assert scores["classes"].keys() == {"bad", "good"}
    assert sum(map(sum, scores["confusion"])) == 24


def test_a_function_of_one_s_own_scores_chooses_and_is_recorded(
    recipe: Path, tmp_path: Path, cli: Run
) -> None:
    code = tmp_path / "metrics.py"
    code.write_text(
        "def bad_found(predictions, references):\n"
        "    bad = [p for p, r in zip(predictions, references) if r == 'bad']\n"
        "    return {'bad_found': bad.count('bad') / len(bad), 'rows': len(references)}\n"
    )
    name = f"{code}:bad_found"
    metrics = f'task.metrics=["{name}", "roc_auc", "macro_f1"]'
    scores, _, log = run(recipe, tmp_path / "run", metrics, "train.learning_rate=0.01", "train.epochs=2")
    assert scores["scores"].keys() == {"bad_found", "rows", "roc_auc", "macro_f1"}
    assert scores["scores"]["rows"] == 24
    assert all(event["scores"]["bad_found"] <= 1 for event in log if event["event"] == "validation")
    adapter = tmp_path / "run" / "adapter"
    assert json.loads((adapter / "adapter.json").read_text())["provenance"]["metrics"].keys() == {name}
    assert "| scored by |" in (adapter / "README.md").read_text()

    shown = cli("eval", adapter, "--split", "valid").stdout
    for words in ("bad_found", "precision", "support", "is \\ answered"):
        assert words in shown
    code.write_text(code.read_text() + "\n")
    changed = cli("eval", adapter, "--split", "valid")
    assert "its file has changed since the adapter was trained" in changed.stdout + changed.stderr


def test_a_function_that_is_not_there_is_said_before_anything_begins(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.py: no such file of metrics"):
        load_plan(recipe, [f'task.metrics=["{tmp_path}/nowhere.py:f"]'])


def test_perplexity_is_that_of_the_references(cli: Run, gpt2_base: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"say {i % 5}", "completion": f"it is {i}"} for i in range(20)]
    data = save_rows(tmp_path / "rows.jsonl", rows)
    chosen = {
        "model.base": gpt2_base,
        "data.train": data,
        "data.valid": data,
        "task.metrics": '["perplexity", "rouge1", "rougeL"]',
        "decode.num_beams": 1,
        "decode.max_new_tokens": 4,
        "train.epochs": 1,
    }
    settings = [part for key, value in chosen.items() for part in ("--set", f"{key}={value}")]
    found = json.loads(
        cli("train", "own_generation", *settings, "--output", tmp_path / "run", "--json").stdout
    )
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    [validation] = [event for event in log if event["event"] == "validation"]
    assert found["scores"].keys() == {"perplexity", "rouge1", "rougeL"}
    assert found["scores"]["perplexity"] == pytest.approx(2.718281828459045 ** validation["loss"], rel=1e-4)
