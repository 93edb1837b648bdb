"""Memory that ends, really: fewer members are trained at once, and each comes to what it comes to anyway."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from lorafit.models import FAMILIES
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
