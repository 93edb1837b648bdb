"""train -> eval -> merge -> export, through the command line on a tiny real model."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lorafit.adapters import read_adapter, restore
from tests.conftest import CONTEXTS, recipe_overrides
from tests.support import warm


@pytest.fixture(scope="module")
def run(gpt2_base: Path, e2e_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    overrides = recipe_overrides(gpt2_base, e2e_dir, train__epochs=2, eval__metrics=["bleu"])
    done = warm.run("train", "e2e_gpt2m", *overrides, "--output", folder)
    assert done.returncode == 0, done.stderr
    assert "bleu" in done.stdout
    assert str(folder / "adapter") in done.stdout
    return folder


def test_the_run_folder(run: Path) -> None:
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert {
        "adapter/adapter.safetensors",
        "adapter/adapter.json",
        "adapter/README.md",
        "recipe.toml",
        "metrics.jsonl",
        "predictions/test.jsonl",
        "scores.json",
    } <= files
    assert not [name for name in files if ".tmp" in name]
    assert tomllib.loads((run / "recipe.toml").read_text())["method"]["r"] == 4
    predictions = [json.loads(line) for line in (run / "predictions/test.jsonl").read_text().splitlines()]
    assert [p["input"] for p in predictions] == CONTEXTS[17:]
    assert all(len(p["references"]) == 2 for p in predictions)


def test_the_event_log(run: Path) -> None:
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 9))  # 28 rows, batches of 8, two epochs
    assert steps[0].keys() >= {"loss", "learning_rate", "num_targets", "tokens_per_second"}
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert {event["event"] for event in events} >= {"step", "validation", "checkpoint", "score", "finished"}


def test_a_finished_run_is_shown_and_not_repeated(run: Path, lorafit, gpt2_base: Path, e2e_dir: Path) -> None:
    before = (run / "metrics.jsonl").read_bytes()
    overrides = recipe_overrides(gpt2_base, e2e_dir, train__epochs=2, eval__metrics=["bleu"])
    done = lorafit("train", "e2e_gpt2m", *overrides, "--output", run)
    assert "finished already" in done.stdout
    assert (run / "metrics.jsonl").read_bytes() == before
    changed = lorafit("train", "e2e_gpt2m", *overrides, "--set", "method.r=2", "--output", run, code=2)
    assert "method.r: 4 -> 2" in changed.stderr


def test_eval_repeats_the_scores(run: Path, lorafit, tmp_path: Path) -> None:
    done = lorafit("eval", run / "adapter", "--metric", "bleu", "--output", tmp_path, "--json")
    scores = json.loads((run / "scores.json").read_text())
    assert json.loads(done.stdout)["scores"] == scores["scores"]
    theirs = (tmp_path / "predictions.jsonl").read_text()
    assert theirs == (run / "predictions/test.jsonl").read_text()


def test_predict(run: Path, lorafit) -> None:
    texts = lorafit("predict", run / "adapter", *CONTEXTS[17:]).stdout.splitlines()
    predictions = [json.loads(line) for line in (run / "predictions/test.jsonl").read_text().splitlines()]
    assert texts == [p["prediction"] for p in predictions]


@torch.inference_mode()
def test_adapter_merged_and_exported_agree(run: Path, lorafit, gpt2_base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    lorafit("merge", run / "adapter", tmp_path / "merged")
    lorafit("export", run / "adapter", tmp_path / "peft", "--format", "peft")
    ours = restore(read_adapter(run / "adapter")).net
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    base = AutoModelForCausalLM.from_pretrained(gpt2_base)
    exported = PeftModel.from_pretrained(base, tmp_path / "peft").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    for context in CONTEXTS[:4]:
        ids = tokenizer(context, return_tensors="pt").input_ids
        logits = ours(ids).logits
        torch.testing.assert_close(merged(ids).logits, logits, atol=1e-4, rtol=0)
        torch.testing.assert_close(exported(ids).logits, logits, atol=1e-4, rtol=0)
    plain = AutoModelForCausalLM.from_pretrained(gpt2_base).eval()
    assert (plain(ids).logits - logits).abs().max() > 1e-3
