"""A chat template whose tokens the base lacks: they get rows that train, and go wherever the adapter goes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import lorafit
from lorafit.errors import LorafitError, RecipeError
from lorafit.models import FAMILIES

ANIMALS = ["cat", "dog", "bird", "fish", "cow", "pig", "hen", "fox", "owl", "bee", "ant", "bat", "emu", "elk"]
ADDED = ("<|im_start|>", "<|im_end|>")
BASES: dict[str, tuple[str, dict[str, Any], int]] = {  # family, sizes, spare rows of the embedding
    "gpt2": ("gpt2", {}, 0),
    "own head": ("llama", {"tie_word_embeddings": False}, 0),
    "tied, one spare row": ("llama", {"tie_word_embeddings": True}, 1),
    "spare rows": ("qwen2", {"tie_word_embeddings": True}, 5),
    "scaled embedding": ("gemma3_text", {}, 0),
}


def conversation(animal: str) -> dict[str, Any]:
    turns = (("user", f"say {animal}"), ("assistant", f"{animal} {animal}"))
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


@pytest.fixture(scope="module", params=BASES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, and the run of an adapter on it."""
    model_type, sizes, spare = BASES[request.param]
    folder = tmp_path_factory.mktemp("added")
    tokenizer = FAMILIES[model_type].tiny_tokenizer([json.dumps([conversation(each) for each in ANIMALS])])
    tokenizer.save_pretrained(folder / "base")
    torch.manual_seed(0)
    config = FAMILIES[model_type].tiny_config(
        vocab_size=len(tokenizer) + spare, max_position_embeddings=128, **sizes
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder / "base")
    rows = "".join(json.dumps(conversation(animal)) + "\n" for animal in ANIMALS)
    (folder / "rows.jsonl").write_text(rows)
    train(folder, folder / "run")
    return folder


def train(folder: Path, output: Path, **more: Any) -> Any:
    settings = {
        "model.base": str(folder / "base"),
        "task.template": "chatml",
        "data.train": str(folder / "rows.jsonl"),
        "data.valid": 0.3,
        "data.max_length": 64,
        "train.max_steps": 6,
        "train.batch_size": 4,
        "train.learning_rate": 0.01,
        "decode.max_new_tokens": 4,
        **more,
    }
    return lorafit.train("own_chat", settings, output)


@torch.no_grad()
def logits(net: Any, ids: torch.Tensor) -> torch.Tensor:
    return net(ids).logits.float()


def test_their_rows_alone_are_trained_and_saved(run: Path) -> None:
    tensors = load_file(run / "run" / "adapter" / "adapter.safetensors")
    rows = {name: tensor for name, tensor in tensors.items() if "lora" not in name}
    assert rows
    for name, tensor in rows.items():
        assert name.endswith(".rows")
        assert len(tensor) == len(ADDED)
    predictor: Any = lorafit.load(run / "run" / "adapter")
    tokenizer = predictor.model.require_tokenizer()
    first = len(AutoTokenizer.from_pretrained(run / "base"))
    assert tokenizer.convert_tokens_to_ids([*ADDED]) == [first, first + 1]
    base: Any = AutoModelForCausalLM.from_pretrained(run / "base")
    for old, new in (
        (base.get_input_embeddings(), predictor.model.net.get_input_embeddings()),
        (base.get_output_embeddings(), predictor.model.net.get_output_embeddings()),
    ):
        assert torch.equal(old.weight, new.weight)


def test_a_run_that_went_on_is_one_that_nobody_stopped(run: Path, tmp_path: Path) -> None:
    train(run, tmp_path / "run", **{"train.max_steps": 3, "train.schedule": "constant"})
    train(run, tmp_path / "whole", **{"train.schedule": "constant"})
    settings = {"train.max_steps": 6, "train.schedule": "constant"}
    went_on = lorafit.train(
        tmp_path / "run" / "recipe.toml", settings, tmp_path / "run", resume="must", extend=True
    )
    whole = load_file(tmp_path / "whole" / "adapter" / "adapter.safetensors")
    for name, tensor in load_file(went_on.adapter / "adapter.safetensors").items():
        assert torch.equal(tensor, whole[name]), name


def test_the_merged_model_speaks_them_with_transformers_alone(run: Path) -> None:
    shutil.rmtree(run / "merged", ignore_errors=True)
    lorafit.merge(run / "run" / "adapter", run / "merged")
    merged: Any = AutoModelForCausalLM.from_pretrained(run / "merged")
    tokenizer: Any = AutoTokenizer.from_pretrained(run / "merged")
    question = conversation("cat")["messages"][:1]
    ids = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    start, end = tokenizer.convert_tokens_to_ids([*ADDED])
    assert ids.tolist()[0].count(start) == 2
    assert ids.tolist()[0].count(end) == 1
    predictor: Any = lorafit.load(run / "run" / "adapter")
    torch.testing.assert_close(logits(merged, ids), logits(predictor.model.net, ids), atol=2e-5, rtol=1e-4)
    ends = merged.generation_config.eos_token_id
    assert end in (ends if isinstance(ends, list) else [ends])


def test_peft_computes_the_same_with_them(run: Path) -> None:
    shutil.rmtree(run / "peft", ignore_errors=True)
    lorafit.export(run / "run" / "adapter", run / "peft", "peft")
    predictor: Any = lorafit.load(run / "run" / "adapter")
    tokenizer = predictor.model.require_tokenizer()
    base: Any = AutoModelForCausalLM.from_pretrained(run / "base")
    if len(tokenizer) > base.get_input_embeddings().num_embeddings:
        base.resize_token_embeddings(len(tokenizer))
    theirs = PeftModel.from_pretrained(base, run / "peft").eval()
    ids = torch.tensor([[len(tokenizer) - 2, 5, 6, len(tokenizer) - 1, 9]])
    ours = logits(predictor.model.net, ids)
    torch.testing.assert_close(logits(theirs, ids), ours, atol=2e-5, rtol=1e-4)


def test_a_format_without_a_place_for_them_says_so(run: Path, tmp_path: Path) -> None:
    with pytest.raises(LorafitError, match=r"rows of their own in the embedding.*use merge"):
        lorafit.export(run / "run" / "adapter", tmp_path / "loralib", "loralib")


def test_an_adapter_on_the_embedding_is_refused(run: Path) -> None:
    embedding = next(
        name
        for name in ("wte", "embed_tokens")
        if any(name in key for key in load_file(run / "run" / "adapter" / "adapter.safetensors"))
    )
    with pytest.raises(RecipeError, match="no module that can be adapted"):
        train(run, run / "refused", **{"method.targets": [embedding]})
    assert not (run / "refused").exists()
