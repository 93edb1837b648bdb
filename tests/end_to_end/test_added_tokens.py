"""A chat template whose tokens the base lacks: they get rows that train, and go wherever the adapter goes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import lorafit
from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import AdapterError, LorafitError, RecipeError
from lorafit.interop.programs import PROGRAMS
from lorafit.models import FAMILIES
from lorafit.verbs.export import export
from lorafit.verbs.import_ import ImportOptions, import_adapter

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


def test_peft_s_folder_comes_back_bit_for_bit(run: Path, tmp_path: Path) -> None:
    lorafit.export(run / "run" / "adapter", tmp_path / "out", "peft")
    base = str(run / "base")
    import_adapter(tmp_path / "out", tmp_path / "again", "peft", base, ImportOptions(template="chatml"))
    ours, again = (
        load_file(f / "adapter.safetensors") for f in (run / "run" / "adapter", tmp_path / "again")
    )
    assert ours.keys() == again.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, again[name]), name
    lorafit.export(tmp_path / "again", tmp_path / "once more", "peft")
    files = [(tmp_path / each / "adapter_model.safetensors").read_bytes() for each in ("out", "once more")]
    assert files[0] == files[1]


@pytest.mark.parametrize("whole_tables", [True, False])
def test_what_peft_trained_computes_the_same_here(run: Path, tmp_path: Path, whole_tables: bool) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(run / "base")
    tokenizer.add_tokens([*ADDED], special_tokens=True)
    base: Any = AutoModelForCausalLM.from_pretrained(run / "base")
    base.resize_token_embeddings(max(len(tokenizer), base.get_input_embeddings().num_embeddings))
    ids: Any = tokenizer.convert_tokens_to_ids([*ADDED])
    tied = base.get_output_embeddings().weight is base.get_input_embeddings().weight
    projection = "c_attn" if base.config.model_type == "gpt2" else "q_proj"
    config = LoraConfig(
        target_modules=[projection],
        fan_in_fan_out=projection == "c_attn",
        task_type="CAUSAL_LM",
        trainable_token_indices=ids if tied else {"embed_tokens": ids, "lm_head": ids},
    )
    theirs = get_peft_model(base, config)
    for parameter in theirs.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    theirs.save_pretrained(str(tmp_path / "theirs"), save_embedding_layers=whole_tables)
    arguments = (tmp_path / "theirs", tmp_path / "ours", "peft", str(run / "base"))
    import_adapter(*arguments, ImportOptions(template="chatml"))
    net = restore(read_adapter(tmp_path / "ours")).net
    probe = torch.tensor([[ids[0], 5, 6, ids[1], 9]])
    torch.testing.assert_close(logits(net, probe), logits(theirs.eval(), probe), atol=2e-5, rtol=1e-4)


def test_rows_of_other_tokens_are_refused(run: Path, tmp_path: Path) -> None:
    lorafit.export(run / "run" / "adapter", tmp_path / "out", "peft")
    arguments = (tmp_path / "out", tmp_path / "again", "peft", str(run / "base"))
    with pytest.raises(AdapterError, match=r"trainable_token_indices.* no counterpart .*template"):
        import_adapter(*arguments, ImportOptions())
    path = tmp_path / "out" / "adapter_config.json"
    config = json.loads(path.read_text())
    for changed in ({name: [3, 5] for name in config["trainable_token_indices"]}, None):
        path.write_text(json.dumps(config | {"trainable_token_indices": changed}))
        with pytest.raises(AdapterError, match=r"trainable_token_indices = .*the template adds \["):
            import_adapter(*arguments, ImportOptions(template="chatml"))
    assert not (tmp_path / "again").exists()


def test_a_format_without_a_place_for_them_says_so(run: Path, tmp_path: Path) -> None:
    for format_name in ("loralib", "gguf"):
        with pytest.raises(LorafitError, match=r"rows of their own in the embedding.*use merge"):
            lorafit.export(run / "run" / "adapter", tmp_path / "out", format_name)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_program_has_room_for_them_or_refuses(run: Path, tmp_path: Path) -> None:
    predictor: Any = lorafit.load(run / "run" / "adapter")
    first = len(predictor.model.require_tokenizer()) - len(ADDED)
    ids = torch.tensor([[first, 5, 6, first + 1, 9]])
    for name in ("vllm", "llama.cpp"):
        with pytest.raises(AdapterError, match=r"no place for|serves no adapters of a gpt2"):
            export(run / "run" / "adapter", tmp_path / name, None, BaseChoice(), program=name)
        assert not (tmp_path / name).exists()
    for name in PROGRAMS.keys() - {"vllm", "llama.cpp"}:
        result = export(run / "run" / "adapter", tmp_path / name, None, BaseChoice(), program=name)
        *before, last = (result.command or "").split("; ")
        scope: dict[str, Any] = {"AutoModelForCausalLM": AutoModelForCausalLM, "PeftModel": PeftModel}
        exec("\n".join(before), scope)
        net = eval(last, scope)
        net = net if isinstance(net, PeftModel) else scope["model"]
        ours = logits(predictor.model.net, ids)
        torch.testing.assert_close(logits(net.eval(), ids), ours, atol=2e-5, rtol=1e-4)


def test_an_adapter_on_the_embedding_is_refused(run: Path) -> None:
    embedding = next(
        name
        for name in ("wte", "embed_tokens")
        if any(name in key for key in load_file(run / "run" / "adapter" / "adapter.safetensors"))
    )
    with pytest.raises(RecipeError, match="no module that can be adapted"):
        train(run, run / "refused", **{"method.targets": [embedding]})
    assert not (run / "refused").exists()
