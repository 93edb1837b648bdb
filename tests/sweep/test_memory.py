"""Memory that ends, really: fewer members are trained at once, and each comes to what it comes to anyway."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from lorafit.models import FAMILIES
from lorafit.sweep.ready import most_ready
from lorafit.sweep.room import free_bytes, room_for
from tests.support import warm
from tests.support.little_memory import NUM_MEMBERS
from tests.sweep.conftest import Families, assert_same_runs

WORDS = "one two three four five six seven eight nine ten"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
def test_out_of_the_machines_memory_takes_fewer_at_once(tmp_path: Path) -> None:
    tokenizer = FAMILIES["gpt2"].tiny_tokenizer([WORDS])
    tokenizer.save_pretrained(tmp_path / "base")
    torch.manual_seed(0)
    config = FAMILIES["gpt2"].tiny_config(n_embd=128, n_layer=4, n_positions=128, vocab_size=len(tokenizer))
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    rows = [{"text": f"{WORDS} {WORDS[i % 9 :]} {WORDS}"} for i in range(64)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.toml").write_text(
        f'[task]\nname = "text"\n[model]\nbase = "{tmp_path / "base"}"\ndropout = 0.1\ndtype = "float32"\n'
        f'[method]\nname = "lora"\nr = 2\ndropout = 0.1\n[data]\ntrain = "{tmp_path / "rows.jsonl"}"\n'
        "[train]\nmax_steps = 3\nbatch_size = 32\nlearning_rate = 0.01\nwarmup_steps = 0\n"
    )
    families = Families(str(tmp_path / "recipe.toml"), [], tmp_path)
    families.together({f"seed-{seed}": {"train.seed": seed} for seed in range(NUM_MEMBERS)})
    assert not any("out of memory" in text for text in families.notes)
    done = warm.run(tmp_path, "50", module="tests.support.little_memory")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert "out of memory; from now on 2 at a time are trained together" in said
    for seed in range(NUM_MEMBERS):
        ours, theirs = (tmp_path / under / f"seed-{seed}" for under in ("tight", "together"))
        assert_same_runs(ours, theirs, ("step", "finished"))


def test_runs_that_would_open_too_many_files_are_trained_in_parts(texts: Callable[..., Families]) -> None:
    families = texts(train__epochs=1, eval__metrics=["bleu"])
    family = {f"seed-{seed}": {"train.seed": seed} for seed in range(3)}
    families.together(family)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (136, before[1]))
    try:
        families.together(family, "parts")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    said = "3 runs are trained in 2 parts, one after the other: a process may open 136 files (ulimit -n)"
    assert families.notes.count(said) == 1
    for name in family:
        assert_same_runs(families.folder / "parts" / name, families.folder / "together" / name)


def test_adapters_have_half_of_the_memory_beside_the_base(texts: Callable[..., Families]) -> None:
    families = texts()
    plans = {init: families.plan({"method.init": init}) for init in ("loralib", "pissa")}
    free = free_bytes(torch.device("cpu"))
    assert free is not None
    sharing = free // 1_000_000  # processes, so that each has a megabyte
    found = {init: most_ready([plan], sharing) for init, plan in plans.items()}
    base, each = plans["loralib"].num_total * 4, plans["loralib"].num_trained * 4
    assert found["loralib"][0] == pytest.approx((1_000_000 - base) / 2 / each, rel=0.3)
    assert "kB are free" in found["loralib"][1] or "MB are free" in found["loralib"][1]
    assert found["pissa"][0] < found["loralib"][0]  # what is left of the weights is its own
    assert most_ready(list(plans.values()), free)[0] == 1


def test_the_moments_of_the_optimizer_and_the_other_processes_count() -> None:
    taken = list[torch.Tensor]()

    def step() -> None:
        taken[:] = [torch.ones(16 << 20)]

    device = torch.device("cpu")
    free = free_bytes(device)
    alone = room_for(step, device)
    if free is None or alone is None:
        pytest.skip("this machine does not tell what memory it has")
    taken.clear()
    shared = room_for(step, device, sharing=4)
    taken.clear()
    kept = room_for(step, device, kept_bytes=free // 4)
    assert shared == pytest.approx(alone / 4, rel=0.3)
    assert kept in (2, 3)
