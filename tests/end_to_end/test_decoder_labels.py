"""Decoders that give labels: what lorafit predicts is what transformers' pipeline says of the merged model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from peft import PeftModel
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from lorafit.adapters import read_adapter
from lorafit.models import FAMILIES
from tests.support.rows import save_rows
from tests.support.tiny_encoders import sentences
from tests.support.tiny_models import DECODERS
from tests.support.unknown_models import DECODERS as UNKNOWN
from tests.support.unknown_models import unknown_config

Run = Callable[..., Any]
Padding = Literal["tokenizer", "none", "another", "outside"]

WRITING_ALONE = {name for name in DECODERS if "label" not in FAMILIES[name].heads}


def save_decoder(folder: Path, model_type: str, padding: Padding = "none") -> Path:
    """A bare decoder. `padding`: what tokenizer and config say about it; "outside" is a pad token without a row."""
    tokenizer = FAMILIES["gpt2"].tiny_tokenizer([text for text, _ in sentences(48)])
    vocab_size = len(tokenizer)
    if padding == "none":
        tokenizer.pad_token = None
    if padding == "outside":
        tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
    }
    sizes |= {"pad_token_id": 7 if padding == "another" else None}
    family = FAMILIES.get(model_type)
    config = unknown_config(model_type, **sizes) if family is None else family.tiny_config(**sizes)
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def reviews(folder: Path, count: int = 40) -> Path:
    return save_rows(
        folder / "reviews.jsonl",
        [
            {"text": f"{text} {i}", "label": ("bad", "good")[label], "stars": 1.0 + 4 * label}
            for i, (text, label) in enumerate(sentences(count))
        ],
    )


def train(
    cli: Run, base: Path, rows: Path, run: Path, recipe: str = "own_classification", **more: Any
) -> Any:
    values = {
        "model.base": base,
        "data.train": rows,
        "data.valid": 0.2,
        "data.max_length": 32,
        "method.targets": '["all-linear"]',
        "train.epochs": 2,
        "train.learning_rate": 0.01,
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    chosen = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    return json.loads(cli("train", recipe, *chosen, "--output", run, "--json").stdout)


def predictions(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "predictions" / "valid.jsonl").read_text().splitlines()]


CASES: list[tuple[str, Padding]] = [
    *((name, "none") for name in (*DECODERS, *UNKNOWN) if name not in WRITING_ALONE),
    ("gpt2", "tokenizer"),
    ("gpt2", "another"),
    ("llama", "another"),
    ("llama", "outside"),
    ("gpt_neox", "another"),
]


@pytest.mark.parametrize(("model_type", "padding"), CASES)
def test_a_decoder_classifies_and_says_the_same_merged_and_in_peft(
    model_type: str, padding: Padding, cli: Run, tmp_path: Path
) -> None:
    base, run = save_decoder(tmp_path / "base", model_type, padding), tmp_path / "run"
    trained = train(cli, base, reviews(tmp_path), run)
    again = json.loads(cli("eval", run / "adapter", "--split", "valid", "--json").stdout)
    assert again["scores"] == trained["scores"]
    rows = predictions(run)
    texts = [row["input"]["text"] for row in rows]
    said = [row["prediction"] for row in rows]
    cli("merge", run / "adapter", tmp_path / "merged")
    classify = pipeline("text-classification", model=str(tmp_path / "merged"), device="cpu")
    for batch_size in (1, 8):
        assert [answer["label"] for answer in classify(texts, batch_size=batch_size)] == said
    cli("export", run / "adapter", tmp_path / "peft")
    bare = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    foreign = PeftModel.from_pretrained(bare, str(tmp_path / "peft")).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    with torch.no_grad():
        logits = [foreign(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts]
    assert [("bad", "good")[int(each.argmax())] for each in logits] == said
    settings = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert (settings["task_type"], settings["modules_to_save"]) == ("SEQ_CLS", ["score"])


@pytest.mark.parametrize("model_type", ["gpt2", "qwen2", "opt"])
def test_a_decoder_gives_a_number_and_its_adapter_can_be_trained_on(
    model_type: str, cli: Run, tmp_path: Path
) -> None:
    base, rows = save_decoder(tmp_path / "base", model_type), reviews(tmp_path, 30)
    first, second = tmp_path / "first", tmp_path / "second"
    scored = train(cli, base, rows, first, "own_regression", task__label="stars")
    assert scored["scores"].keys() >= {"pearson", "spearman"}
    start: dict[str, Any] = {
        "train__init_from": first / "adapter",
        "train__max_steps": 1,
        "train__warmup_ratio": 1.0,
    }
    train(cli, base, rows, second, "own_regression", task__label="stars", **start)  # with the rate 0
    before, after = (read_adapter(run / "adapter").tensors for run in (first, second))
    assert before.keys() == after.keys()
    assert any(name.startswith("score") for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before)
    cli("merge", first / "adapter", tmp_path / "merged")
    rate = pipeline("text-classification", model=str(tmp_path / "merged"), device="cpu", batch_size=4)
    answers = rate([row["input"]["text"] for row in predictions(first)], function_to_apply="none")
    assert [answer["score"] for answer in answers] == pytest.approx(
        [row["prediction"] for row in predictions(first)], abs=1e-4
    )


def test_lora_of_a_decoder_s_classifier_starts_another_with_a_fresh_head(cli: Run, tmp_path: Path) -> None:
    base, rows = save_decoder(tmp_path / "base", "llama"), reviews(tmp_path, 30)
    train(cli, base, rows, tmp_path / "first")
    start: dict[str, Any] = {"method__init_from": tmp_path / "first" / "adapter", "train__max_steps": 1}
    train(cli, base, rows, tmp_path / "second", train__warmup_ratio=1.0, train__seed=3, **start)
    before, after = (read_adapter(tmp_path / run / "adapter").tensors for run in ("first", "second"))
    assert before.keys() == after.keys()
    for name in before:
        assert torch.equal(before[name], after[name]) == (not name.startswith("score")), name
