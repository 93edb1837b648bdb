"""The bench for GPUs goes every way on a CPU, with tiny shapes; what it counts is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpu
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[2]
ONLY = {"lorafit x9": gpu.NINE, "lorafit compiled": ("llama-1b",)}  # making graphs takes seconds
WAYS = [
    (name, contender)
    for name in gpu.CASES
    for contender in gpu.CONTENDERS
    if name != "llama-3b" and name in ONLY.get(contender, gpu.CASES)  # tiny, it is llama-1b
]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch hides it itself
@pytest.mark.parametrize(("name", "contender"), WAYS)
def test_every_way_is_gone(name: str, contender: str, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.worker(name, contender, 1, tiny=True)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["tokens_per_s"] > 0
    assert 0 < found["mfu"] < 1
    assert found["peak_bytes"] > 0


@pytest.mark.parametrize("name", ["e2e-gpt2-medium", "mnli-roberta-base", "llama-1b"])
def test_operations_are_those_that_torch_counts(name: str) -> None:
    """Forward, and backward to the activations, of rows so short that attention is next to nothing."""
    case = replace(gpu.CASES[name], lengths=((3,), (0,)))
    net: Any = gpu.Setting(case, 1, tiny=True).net()
    net.requires_grad_(False)
    ids = torch.tensor([case.rows(net.config.vocab_size)[0][0]])
    given = net.get_input_embeddings()(ids).detach().requires_grad_()
    with FlopCounterMode(display=False) as counter:
        net.base_model(inputs_embeds=given).last_hidden_state.sum().backward()
    assert gpu.operations_per_example(case, net) == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_the_output_layer_counts_where_a_token_is_to_be_predicted() -> None:
    case = gpu.CASES["llama-1b"]
    net: Any = gpu.Setting(case, 1, tiny=True).net()
    short, longer = (replace(case, lengths=((5 - n,), (n,))) for n in (0, 2))
    more = gpu.operations_per_example(longer, net) - gpu.operations_per_example(short, net)
    assert more == 2 * 4 * net.config.vocab_size * net.config.hidden_size


def test_without_a_gpu_it_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = subprocess.run(
        [ROOT / "scripts" / "bench" / "gpu.sh"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHON": sys.executable},
    )
    assert done.returncode == 1
    assert "no GPU here; --tiny goes every way once on the CPU" in done.stderr
