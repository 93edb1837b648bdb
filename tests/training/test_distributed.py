"""Where a process stands among the others, and what one on its own does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoModelForCausalLM

from lorafit import lora
from lorafit.errors import InterruptedRunError, RecipeError
from lorafit.training import ProcessGroup, check_shardable, shard_frozen
from lorafit.training.distributed import Rank, first_host
from tests.support.stops import StopWhen

SLURM = {
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu[07-09,12],big1",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets variables, others of these launchers being unset."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_NTASKS", *SLURM):
        monkeypatch.delenv(name, raising=False)

    def set_all(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


def test_places(environment: Callable[..., None]) -> None:
    assert Rank.of_environment() is None
    environment({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"})  # a batch script, outside of srun
    assert Rank.of_environment() is None
    environment(SLURM)
    assert Rank.of_environment() == Rank(5, 8, 1, ("gpu07", 20_000 + 4711 * 31 % 20_000))
    environment({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"})  # torchrun inside srun
    assert Rank.of_environment() == Rank(1, 2, 1)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("n1", "n1"),
        ("n1,n2", "n1"),
        ("n[3-5]", "n3"),
        ("n-a[003,7]-x,z", "n-a003-x"),
        ("a-b.c,d[1-2]", "a-b.c"),
    ],
)
def test_the_first_machine_of_a_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_parts_are_the_whole_and_alike(size: int) -> None:
    groups = [ProcessGroup(rank=rank, size=size) for rank in range(size)]
    for count in range(10):
        parts = [list(group.shard(range(count))) for group in groups]
        assert [i for part in parts for i in part] == list(range(count))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_each_asks_before_every_item() -> None:
    done: list[int] = []
    group = ProcessGroup(StopWhen(lambda: "enough" if len(done) == 3 else None))

    def square(i: int) -> int:
        done.append(i)
        return i * i

    results = group.map(range(5), square)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(InterruptedRunError, match="enough"):
        next(results)
    assert list(ProcessGroup().map(range(4), square)) == [0, 1, 4, 9]


def test_fsdp_needs_frozen_blocks(gpt2_base: Path) -> None:
    net = AutoModelForCausalLM.from_pretrained(gpt2_base)
    with pytest.raises(RecipeError, match="ddp"):
        check_shardable(net)
    net.requires_grad_(False)
    check_shardable(net)


def test_a_process_holds_its_shard_of_what_is_frozen_and_all_of_what_is_trained(gpt2_base: Path) -> None:
    net = AutoModelForCausalLM.from_pretrained(gpt2_base)
    net.requires_grad_(False)
    lora.attach(net, [lora.Site("transformer.h.0.attn.c_attn")], r=2, alpha=4)
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    try:
        shard_frozen(net, 2, torch.device("cpu"))
        local = {name: p.to_local() if isinstance(p, DTensor) else p for name, p in net.named_parameters()}
    finally:
        dist.destroy_process_group()
    layer = "transformer.h.0.attn.c_attn"
    assert local[f"{layer}.weight"].shape == (16, 96)  # of [32, 96]
    assert local[f"{layer}.lora_A"].shape == (2, 32)
    assert local["transformer.h.1.mlp.c_fc.bias"].shape == (64,)  # of [128]
    assert local["transformer.wte.weight"].shape[1] == 32
