"""Every program that serves adapters, with an adapter on every architecture."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import AdapterError, RecipeError
from lorafit.files import local_path
from lorafit.interop.programs import PROGRAMS
from lorafit.interop.programs.vllm import EMBEDDINGS, MAX_LORA_RANKS
from lorafit.interop.writers import WRITERS
from lorafit.methods import Full, LoRA
from lorafit.models import FAMILIES
from lorafit.tasks import Classification
from lorafit.verbs.export import export
from tests.support.adapter_fixtures import make_adapter, run_here
from tests.support.peft_adapters import load_net, logits
from tests.support.vllm_rules import vllm_faults

TEXT = [name for name, family in FAMILIES.items() if "text" in family.heads]
HEAD = Classification(name="classification", labels=("no", "yes", "maybe"))


@pytest.fixture(scope="module")
def adapters(make_base, tmp_path_factory):
    """Model type -> a folder with its base, and an adapter of every linear layer; each made once."""
    made: dict[str, Path] = {}

    def adapter(model_type: str) -> Path:
        if model_type not in made:
            made[model_type] = tmp_path_factory.mktemp(model_type) / "adapter"
            task = None if model_type in TEXT else HEAD
            make_adapter(make_base(model_type), made[model_type], LoRA(r=3, targets=("all-linear",)), task)
        return made[model_type]

    return adapter


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_has_its_own_name_and_help_and_a_format_that_is_written(name):
    assert PROGRAMS[name].name == name
    assert PROGRAMS[name].help
    assert PROGRAMS[name].format in WRITERS


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_an_adapter_is_served_or_refused_in_one_line_before_anything_is_written(
    adapters, tmp_path, name, model_type
):
    said: list[str] = []
    refused = ""
    try:
        result = export(
            adapters(model_type), tmp_path / "out", None, BaseChoice(), program=name, say=said.append
        )
    except AdapterError as error:
        refused = str(error)
    if refused:
        assert not said
        assert not (tmp_path / "out").exists()
        assert re.search(rf"^.*: {re.escape(name)} cannot serve it: [^\n]+; merge it first$", refused)
    else:
        assert len(said) == 1
        assert said[0].startswith(f"{name} serves it: rank")
        assert result.format == PROGRAMS[name].format
        assert str(tmp_path / "out") in (result.command or "")


@pytest.mark.parametrize("model_type", EMBEDDINGS)
def test_vllms_own_rules_take_what_is_exported_for_it(adapters, tmp_path, model_type):
    result = export(adapters(model_type), tmp_path / "out", None, BaseChoice(), program="vllm")
    words = shlex.split(result.command or "")
    rank = int(words[words.index("--max-lora-rank") + 1])
    assert rank in MAX_LORA_RANKS
    net = load_net(Path(words[words.index("serve") + 1]))
    linear = {
        name.rpartition(".")[2] for name, module in net.named_modules() if isinstance(module, nn.Linear)
    }
    assert vllm_faults(tmp_path / "out", rank, linear) == []


@pytest.mark.parametrize("name", ["plain", "alpha=8", "a,b"])
def test_vllm_reads_the_name_and_the_folder_out_of_the_command(adapters, tmp_path, name):
    result = export(adapters("llama"), tmp_path / name, None, BaseChoice(), program="vllm")
    words = shlex.split(result.command or "")
    module = words[words.index("--lora-modules") + 1]
    if "," not in module and "=" in module:  # as vLLM's `LoRAParserAction` has it
        given, path = module.split("=")
    else:
        given, path = json.loads(module).values()
    assert (given, path) == (name, str(tmp_path / name))


def test_vllm_takes_a_decoder_with_a_head_as_a_pooling_model(make_base, tmp_path):
    make_adapter(make_base("llama"), tmp_path / "adapter", LoRA(r=20), HEAD)
    result = export(tmp_path / "adapter", tmp_path / "out", None, BaseChoice(), program="vllm")
    words = shlex.split(result.command or "")
    assert words[words.index("--max-lora-rank") + 1] == "32"
    assert words[words.index("--runner") + 1] == "pooling"
    assert vllm_faults(tmp_path / "out", 32, {"q_proj", "v_proj"}) == []


@pytest.mark.parametrize(
    ("model_type", "method", "task", "reason"),
    [
        ("gpt2", LoRA(), None, "vllm cannot serve it: serves no adapters of a gpt2"),
        ("bert", LoRA(), HEAD, "serves no adapters of a bert"),
        ("llama", LoRA(also_train=("norm",)), None, "takes no model.*norm.weight that was trained whole"),
        ("qwen2", LoRA(targets=("embed_tokens",)), None, "adapts no model.embed_tokens"),
        ("llama", Full(), None, "method 'full' has no counterpart in the peft format"),
    ],
)
def test_what_vllm_does_not_serve_is_refused_with_the_reason(
    make_base, tmp_path, model_type, method, task, reason
):
    make_adapter(make_base(model_type), tmp_path / "adapter", method, task, strength=0.01)
    with pytest.raises(AdapterError, match=reason):
        export(tmp_path / "adapter", tmp_path / "out", None, BaseChoice(), program="vllm")
    assert not (tmp_path / "out").exists()


def test_a_rank_that_vllm_has_no_room_for_is_refused(make_base, tmp_path):
    base = make_base("llama", hidden_size=8, num_attention_heads=2, intermediate_size=8, num_hidden_layers=1)
    make_adapter(base, tmp_path / "adapter", LoRA(r=513, targets=("query",)))
    with pytest.raises(AdapterError, match="has rank 513; at most 512"):
        export(tmp_path / "adapter", tmp_path / "out", None, BaseChoice(), program="vllm")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("model_type", "task"), [("gpt2", None), ("llama", HEAD), ("roberta", HEAD), ("bert", HEAD)]
)
def test_transformers_computes_the_same_by_the_command_that_is_shown(make_base, tmp_path, model_type, task):
    make_adapter(make_base(model_type), tmp_path / "adapter", LoRA(r=2, alpha=6), task)
    result = export(tmp_path / "adapter", tmp_path / "out", None, BaseChoice(), program="transformers")
    ours = logits(restore(read_adapter(tmp_path / "adapter")).net)
    scope: dict[str, Any] = {}
    exec(
        f"from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification\n{result.command}",
        scope,
    )
    net = scope["model"].eval()
    net.config.pad_token_id = 0  # which a tiny Llama's config leaves open
    torch.testing.assert_close(logits(net), ours, rtol=0, atol=1e-5)


def test_llama_cpp_converts_a_base_out_of_its_folder_or_off_the_hub(adapters):
    adapter = read_adapter(adapters("llama"))
    shape = restore(adapter)
    for base, words in (("/models/base", "/models/base"), ("org/base", "org/base --remote")):
        command = PROGRAMS["llama.cpp"].command(adapter.on(base, None), shape, Path("out"))
        assert command.startswith(f"python convert_hf_to_gguf.py {words} --outfile ")


def test_a_format_beside_a_program_must_be_its_own(make_base, tmp_path, monkeypatch):
    make_adapter(make_base("llama"), tmp_path / "adapter")
    out = tmp_path / "out"
    done = run_here(
        monkeypatch, ["export", tmp_path / "adapter", out, "--for", "llama.cpp", "--format", "peft"]
    )
    assert done.code == RecipeError.exit_code
    assert done.err == "error: format peft: llama.cpp loads the gguf format; leave out --format\n"
    done = run_here(
        monkeypatch, ["export", tmp_path / "adapter", out, "--for", "llama.cpp", "--format", "gguf"]
    )
    said, wrote, serve = done.out.splitlines()
    assert (said, wrote) == ("llama.cpp serves it: rank 4 on a llama", f"wrote {out} (gguf format)")
    assert serve.endswith(f"llama-server -m base.gguf --lora {out}/adapter.gguf")


@pytest.mark.parametrize("name", ["peft", "transformers"])
def test_a_base_of_the_package_is_named_by_its_folder(name, tmp_path):
    """Which no other program knows by the name that recipes give it."""
    make_adapter(Path("lorafit:quickstart/base"), tmp_path / "adapter", LoRA(r=2, alpha=4))
    done = export(tmp_path / "adapter", tmp_path / "out", None, BaseChoice(), program=name)
    folder = local_path("lorafit:quickstart/base")
    assert f'from_pretrained("{folder}")' in (done.command or "")
    texts = [(tmp_path / "out" / file).read_text() for file in ("adapter_config.json", "README.md")]
    assert all(str(folder) in text for text in texts)
