"""`import lorafit`: the same as the command line does, in Python, and nothing heavy before it is used."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lorafit
from lorafit.errors import DataError, RecipeError
from tests.support.tiny_encoders import save_encoder, sentences

NAMES = ("bad", "good")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on reviews in a CSV, with a tiny RoBERTa; the base and the CSV are beside it."""
    folder = tmp_path_factory.mktemp("api")
    save_encoder(folder / "base", "roberta")
    with (folder / "reviews.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "verdict"])
        writer.writerows([f"{text} {i}", NAMES[label]] for i, (text, label) in enumerate(sentences(80)))
    settings = {
        "model.base": folder / "base",
        "data.train": folder / "reviews.csv",
        "data.valid": 0.25,
        "data.max_length": 32,
        "task.text": "review",
        "task.label": "verdict",
        "train.epochs": 4,
        "train.learning_rate": 0.01,
    }
    events: list[Any] = []
    result = lorafit.train("own_classification", folder / "run", settings=settings, report=events.append)
    assert events
    assert result.scores["scores"]["accuracy"] is not None
    return result.adapter


def test_importing_lorafit_imports_nothing_heavy() -> None:
    code = (
        "import lorafit, sys; print([n for n in ('torch', 'transformers', 'pydantic') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert set(lorafit.__all__) >= {"load", "train", "merge", "export", "Predictor"}
    with pytest.raises(AttributeError, match="no attribute 'finetune'"):
        lorafit.finetune  # noqa: B018


def test_a_predictor_answers_as_the_run_did(trained: Path, tmp_path: Path) -> None:
    lines = [
        json.loads(line) for line in (trained.parent / "predictions" / "valid.jsonl").read_text().splitlines()
    ]
    predictor = lorafit.load(trained)
    assert predictor.task.labels == NAMES
    texts = [line["input"]["review"] for line in lines]
    assert predictor.predict(texts) == [line["prediction"] for line in lines]
    assert predictor.predict([{"review": text} for text in texts]) == predictor.predict(texts)
    assert predictor.predict([]) == []
    result = predictor.evaluate(split="valid", output=tmp_path / "scores")
    assert result.scores["scores"] == json.loads((trained.parent / "scores.json").read_text())["scores"]
    assert (tmp_path / "scores" / "predictions.jsonl").is_file()


def test_a_text_adapter_writes_what_the_command_line_writes(
    gpt2_base: Path, e2e_dir: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    settings = {
        "model.base": gpt2_base,
        "data.dir": e2e_dir,
        "train.max_steps": 2,
        "decode.max_new_tokens": 8,
    }
    settings |= {"eval.metrics": ["bleu"], "decode.eos_token_ids": [0], "train.warmup_steps": 1}
    adapter = lorafit.train("e2e_gpt2m", tmp_path / "run", settings=settings).adapter
    prompt = "name : Blue Spice | Type : coffee shop | area : city centre"
    (text,) = lorafit.load(adapter).predict([prompt])
    assert cli("predict", adapter, prompt).stdout.strip() == str(text)


def test_merge_and_export_make_the_folders(trained: Path, tmp_path: Path) -> None:
    merged = lorafit.merge(trained, tmp_path / "merged")
    assert json.loads((merged.folder / "config.json").read_text())["id2label"] == {"0": "bad", "1": "good"}
    assert lorafit.export(trained, tmp_path / "peft").format == "peft"
    with pytest.raises(RecipeError, match="merged"):
        lorafit.merge(trained, tmp_path / "merged")


def test_an_input_without_its_column_is_said_by_number(trained: Path) -> None:
    predictor = lorafit.load(trained)
    with pytest.raises(DataError, match="input 2: no column review"):
        predictor.predict([{"review": "fine"}, {"text": "fine"}])
    with pytest.raises(DataError, match=r"input 1: .*empty"):
        predictor.predict([" "])
