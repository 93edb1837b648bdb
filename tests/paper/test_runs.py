"""What a run folder says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorafit.errors import DataError, NotFoundError
from lorafit.paper.runs import find_runs
from lorafit.paper.table import table
from lorafit.run.files.summary import flatten
from tests.support.run_folders import e2e_scores, write_run


def test_a_finished_run_and_an_unfinished_one(tmp_path: Path) -> None:
    write_run(tmp_path, "e2e_gpt2m", 2, e2e_scores(70.0), loss=1.2)
    write_run(tmp_path, "rte_roberta_base", 0, None)
    finished, unfinished = find_runs(tmp_path)
    assert finished.cell == ("3", "GPT-2 M (LoRA)", "e2e")
    assert (finished.seed, finished.finished, finished.step) == (2, True, 7)
    assert finished.scores == {
        "bleu": 70.0,
        "nist": 8.855,
        "rouge_l": 0.7175,
        "cider": 2.5,
        "validation.loss": 1.2,  # of the epoch that was the best, not the last one
    }
    assert finished.adapter_sha256 == "2" * 64
    assert unfinished.cell == ("2", "RoBERTa base (LoRA)", "rte")
    assert not unfinished.finished


def test_a_recipe_of_no_cell(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "recipe.toml").write_text('[task]\nname = "classification"\n')
    (run,) = find_runs(tmp_path)
    assert (run.cell, run.seed, run.scores, run.recipe_hash) == (None, 0, {}, None)


def test_folders_inside_a_run_are_no_runs(tmp_path: Path) -> None:
    run = write_run(tmp_path, "e2e_gpt2m", 0, None)
    (run / "adapter" / "recipe.toml").write_text("")
    assert [found.path for found in find_runs(tmp_path)] == [run]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("recipe.toml", "[model"),
        ("recipe.toml", "task = 3"),
        ("scores.json", "[]"),
        ("scores.json", '{"scores": 3}'),
        ("adapter/adapter.json", json.dumps({"files": []})),
        ("metrics.jsonl", "{\n"),
        ("metrics.jsonl", '"validation"\n'),
    ],
)
def test_a_damaged_run_folder_is_named(name: str, text: str, tmp_path: Path) -> None:
    run = write_run(tmp_path, "e2e_gpt2m", 0, e2e_scores(70.0))
    (run / name).write_text(text)
    with pytest.raises(DataError, match=f"{run}: not readable as a run folder"):
        find_runs(tmp_path)


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder of runs"):
        find_runs(tmp_path / "runs")


def test_runs_of_a_task_that_were_scored_on_other_rows_are_named(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, "e2e_gpt2m", seed, e2e_scores(70.0)) for seed in range(4)]
    for run, rows in zip(runs, ("a", "a", "a", None), strict=True):
        inputs = {"data.test": {"where": "test.txt", "sha256": rows}} if rows else {}
        scores = json.loads((run / "scores.json").read_text()) | {"split": "test", "inputs": inputs}
        (run / "scores.json").write_text(json.dumps(scores))
    assert table("3", tmp_path).notes == ()
    scores["inputs"] = {"data.test": {"where": "test.txt", "sha256": "b"}}
    (runs[2] / "scores.json").write_text(json.dumps(scores))
    (note,) = table("3", tmp_path).notes
    assert note.startswith("e2e: the runs were scored on different rows, such as ")
    assert note.endswith(f" and {runs[2]}")


def test_scores_in_parts() -> None:
    scores = {"all": {"bleu": 1, "ter": None}, "bleu": 2.5, "reasons": {"ter": "no Java"}}
    assert flatten(scores) == {"all.bleu": 1.0, "bleu": 2.5}
