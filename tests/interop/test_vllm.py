"""vLLM computes with adapters exported for it what lorafit computes, and takes what the static rules let through.

`scripts/stress/vllm.sh` installs vLLM and runs this; without it these tests skip.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.interop.programs.vllm import MAX_LORA_RANKS
from lorafit.methods import LoRA
from lorafit.verbs.export import export
from tests.conftest import ROOT
from tests.support.adapter_fixtures import make_adapter
from tests.support.llama_cpp import PROMPTS, log_probabilities
from tests.support.peft_adapters import load_net

VLLM_PYTHON = os.environ.get("VLLM_PYTHON", "")
pytestmark = pytest.mark.skipif(not VLLM_PYTHON, reason="VLLM_PYTHON names no interpreter with vLLM")

NUM_TOKENS = 8
SIZES = {"hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64}
ALL = ("all-linear",)


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "phi3", "gemma3_text", "granite", "olmo2"])
def test_two_adapters_in_one_engine(model_type, make_base, tmp_path):
    base = make_base(model_type, **SIZES)
    methods = {"one": LoRA(r=3, alpha=7, targets=ALL), "two": LoRA(r=8, alpha=6, targets=("query", "down"))}
    for name, method in methods.items():
        make_adapter(base, tmp_path / name, method, strength=0.1)
        export(tmp_path / name, tmp_path / "out" / name, None, BaseChoice(), program="vllm")
    nets = {name: restore(read_adapter(tmp_path / name)).net for name in methods} | {"": load_net(base)}
    request = {
        "model": str(base),
        "adapters": {name: str(tmp_path / "out" / name) for name in methods},
        "max_lora_rank": 16,
        "prompts": PROMPTS,
        "num_tokens": NUM_TOKENS,
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    command = [
        VLLM_PYTHON,
        ROOT / "scripts/stress/vllm_answers.py",
        tmp_path / "request.json",
        tmp_path / "answers",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads((tmp_path / "answers").read_text())
    worst = dict.fromkeys(nets, 0.0)
    for name, net in nets.items():
        for prompt, answer in zip(PROMPTS, answers[name], strict=True):
            ids = list(prompt)
            for token, logprob in zip(answer["tokens"], answer["logprobs"], strict=True):
                ours = log_probabilities(net, ids)
                worst[name] = max(
                    worst[name], abs(ours[token].item() - logprob), (ours.max() - ours[token]).item()
                )
                ids.append(token)
    print(model_type, worst)
    assert max(worst.values()) <= 1e-3
    first = [answers[name][0]["logprobs"][0] for name in nets]
    assert min(abs(first[i] - first[j]) for i in range(3) for j in range(i)) > 1e-3


def test_the_static_rules_are_vllms_own():
    script = (
        "import json, typing, torch; from vllm.config.lora import MaxLoRARanks; from vllm import ModelRegistry as R;"
        "from vllm.model_executor.models.interfaces import supports_lora; from transformers import AutoConfig;"
        "from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as N;"
        "print(json.dumps([typing.get_args(MaxLoRARanks), N['gpt2'] in R.get_supported_archs()]))"
    )
    done = subprocess.run([VLLM_PYTHON, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])[0] == list(MAX_LORA_RANKS)
