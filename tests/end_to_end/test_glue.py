"""GLUE through the command line: train, score, submit, merge; a user's mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.support.glue_recipes import write_recipe
from tests.support.tiny_encoders import save_encoder, write_sst2

Run = Callable[..., Any]


@pytest.mark.parametrize("model_type", ["roberta", "deberta-v2", "gpt2", "llama", "mistral"])
def test_from_the_recipe_to_a_submission_and_a_plain_model(model_type: str, cli: Run, tmp_path: Path) -> None:
    window = {"sliding_window": 6} if model_type == "mistral" else {}
    base = save_encoder(tmp_path / "base", model_type, **window)
    recipe = write_recipe(tmp_path / "sst2.toml", base, write_sst2(tmp_path / "glue"), train__epochs=6)
    run = tmp_path / "run"
    trained = json.loads(cli("train", recipe, "--output", run, "--json").stdout)
    accuracy = trained["scores"]["accuracy"]
    assert accuracy > 0.8

    if model_type == "deberta-v2":
        return  # the rest is the same for it
    evaluated = json.loads(cli("eval", run / "adapter", "--split", "valid", "--json").stdout)
    assert evaluated["scores"] == {"accuracy": accuracy}

    cli("eval", run / "adapter", "--split", "test", "--glue-submission", tmp_path / "sent")
    lines = (tmp_path / "sent" / "SST-2.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction"
    assert [line.split("\t")[0] for line in lines[1:]] == list("012345")

    cli("merge", run / "adapter", tmp_path / "merged")
    net = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    rows = [json.loads(line) for line in (run / "predictions" / "valid.jsonl").read_text().splitlines()]
    for row in rows:
        given = tokenizer(row["input"]["sentence"], return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            answer = net(**given).logits.argmax().item()
        assert net.config.id2label[answer] == row["prediction"]


def test_mistakes(cli: Run, tmp_path: Path) -> None:
    base, data = save_encoder(tmp_path / "base", "bert"), write_sst2(tmp_path / "glue")
    recipe = write_recipe(tmp_path / "sst2.toml", base, data)
    with (data / "SST-2" / "train.tsv").open("a") as file:
        file.write("no label\n")
    broken = cli("train", recipe, "--output", tmp_path / "run", code=3).stderr
    assert f"{data}/SST-2/train.tsv:50: 1 field between tabs, expected 2" in broken
    assert not (tmp_path / "run").exists()
    skip = ("--set", "data.on_bad_row=skip", "--set", "train.max_steps=4")
    skipped = cli("train", recipe, "--output", tmp_path / "run", *skip).stdout
    assert "1 malformed row was skipped (line 50); 48 are left" in skipped
    refused = cli("eval", tmp_path / "run" / "adapter", "--glue-submission", "x", "--split", "valid", code=2)
    assert "needs the test split" in refused.stderr
    offline = write_recipe(tmp_path / "hub.toml", base, data, task__name="rte")
    offline.write_text(offline.read_text().replace(f'dir = "{data}"', ""))
    assert "nyu-mll/glue/rte: not in the Hugging Face cache" in cli("train", offline, code=3).stderr
