"""Members are validated and decoded in passes that they share, and answer as each does alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Model

from lorafit.errors import InterruptedRunError
from lorafit.models import FAMILIES
from lorafit.tasks import template_text
from lorafit.training import ProcessGroup
from tests.sweep.conftest import Families, assert_same_runs

SEEDS: dict[str, dict[str, Any]] = {f"seed-{seed}": {"train.seed": seed} for seed in range(4)}
TURNS = [(name, food) for name in ("Anna", "Bert", "Carl", "Dora") for food in ("soup", "fish", "rice")]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows the base was given in each pass without gradients."""
    found: list[int] = []
    read = GPT2Model.forward

    def forward(self: GPT2Model, input_ids: torch.Tensor, **inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            found.append(len(input_ids))
        return read(self, input_ids=input_ids, **inputs)

    monkeypatch.setattr(GPT2Model, "forward", forward)
    return found


def test_four_are_scored_in_about_as_many_passes_as_one(
    texts: Callable[..., Families], passes: list[int]
) -> None:
    families = texts(train__epochs=3, eval__batch_size=1)
    families.together(SEEDS)
    together = len(passes)
    passes.clear()
    for name, changes in SEEDS.items():
        families.alone(name, changes)
        assert_same_runs(families.folder / "together" / name, families.folder / "alone" / name)
    assert together < 0.6 * len(passes)


def test_where_memory_has_no_room_for_more_each_is_scored_alone(
    texts: Callable[..., Families], passes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "max").write_text(str(1 << 10))
    (tmp_path / "current").write_text("0")
    families = texts(train__epochs=3, eval__batch_size=3)
    families.together(SEEDS, "wide", at_once=4)
    wide = len(passes)
    monkeypatch.setattr("lorafit.sweep.room._CGROUPS", [(tmp_path / "max", tmp_path / "current")])
    passes.clear()
    families.together(SEEDS, "tight", at_once=4)
    assert len(passes) > 1.3 * wide
    for name in SEEDS:
        assert_same_runs(families.folder / "tight" / name, families.folder / "wide" / name)


def test_memory_that_runs_out_while_scoring_takes_fewer_and_goes_on(
    texts: Callable[..., Families], monkeypatch: pytest.MonkeyPatch
) -> None:
    families = texts(train__epochs=2, eval__batch_size=2)
    family = {f"seed-{seed}": {"train.seed": seed} for seed in range(6)}
    families.together(family, "wide", at_once=6)
    read = GPT2Model.forward

    def forward(self: GPT2Model, input_ids: torch.Tensor, **inputs: Any) -> Any:
        if not torch.is_grad_enabled() and len(input_ids) > 6:  # two prompts of more than three members
            torch.empty(1 << 50)  # more than any machine has
        return read(self, input_ids=input_ids, **inputs)

    monkeypatch.setattr(GPT2Model, "forward", forward)
    families.together(family, "tight", at_once=6)
    assert any(
        text.endswith("from now on 3 at a time are asked for their prediction") for text in families.notes
    )
    for name in family:
        ours, theirs = (families.folder / under / name for under in ("tight", "wide"))
        assert_same_runs(ours, theirs, ("step", "validation", "score", "finished"))


def test_one_that_is_behind_loses_nothing_of_what_it_predicts_with_others(
    texts: Callable[..., Families], passes: list[int]
) -> None:
    families = texts(train__epochs=1, eval__batch_size=1)
    families.together(dict(list(SEEDS.items())[:2]), "two")
    two = len(passes)
    passes.clear()
    families.together(dict(list(SEEDS.items())[:3]), "three")
    assert len(passes) < 1.5 * two


def test_those_that_search_otherwise_are_asked_otherwise(texts: Callable[..., Families]) -> None:
    families = texts(train__epochs=1)
    family = {
        f"{name}-{beams}": {**SEEDS[name], "decode.num_beams": beams}
        for name in list(SEEDS)[:2]
        for beams in (1, 3)
    }
    families.together(family)
    for name, changes in family.items():
        assert_same_runs(families.folder / "together" / name, families.alone(name, changes))


def test_stopped_while_it_decodes_it_decodes_the_rest(
    texts: Callable[..., Families], passes: list[int]
) -> None:
    families = texts(train__epochs=1, eval__batch_size=1)
    families.together(SEEDS, "whole")
    num_passes = len(passes)
    with pytest.raises(InterruptedRunError):
        families.together(SEEDS, "stopped", ProcessGroup(_After(passes, 2 * num_passes - 3)))
    caches = list((families.folder / "stopped").rglob("predicting/*.jsonl"))
    assert len(caches) == len(SEEDS)
    lines = caches[0].read_text().splitlines(keepends=True)
    assert len(lines) > 1
    caches[0].write_text(lines[0])  # as if each had come as far as it could
    caches[1].unlink()
    families.together(SEEDS, "stopped")
    for name in SEEDS:
        ours, theirs = (families.folder / under / name for under in ("stopped", "whole"))
        assert_same_runs(ours, theirs, ("step", "validation", "score", "finished"))


class _After:
    """Asks for a stop once the base has made so many passes without gradients."""

    def __init__(self, passes: list[int], limit: int) -> None:
        self.passes, self.limit = passes, limit

    def __call__(self) -> str | None:
        return "enough" if len(self.passes) > self.limit else None

    def save_took(self, seconds: float) -> None:
        """Nothing depends on it."""


@pytest.mark.parametrize("task", ["chat", "text"])
def test_conversations_and_plain_texts(task: str, tmp_path: Path) -> None:
    rows = [[("user", f"What does {name} eat?"), ("assistant", f"{food}.")] for name, food in TURNS]
    chats = [{"messages": [{"role": role, "content": text} for role, text in row]} for row in rows]
    documents = [{"text": f"{name} eats {food}, and {food} again."} for name, food in TURNS]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in (chats if task == "chat" else documents)))
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        f'[task]\nname = "{task}"\n[model]\nbase = "{_llama(tmp_path / "base", json.dumps(chats))}"\n'
        f'[method]\nname = "lora"\nr = 2\n[data]\ntrain = "{data}"\nvalid = 0.3\ntest = "{data}"\nmax_length = 64\n'
        "[train]\nlearning_rate = 0.02\nepochs = 2\nbatch_size = 4\n[decode]\nmax_new_tokens = 6\n"
    )
    families = Families(str(recipe), [], tmp_path / "runs")
    family = {name: SEEDS[name] for name in list(SEEDS)[:2]}
    families.together(family)
    for name, changes in family.items():
        assert_same_runs(families.folder / "together" / name, families.alone(name, changes))


def _llama(folder: Path, text: str) -> Path:
    """A tiny base with ChatML's tokens and template."""
    tokenizer = FAMILIES["llama"].tiny_tokenizer([text])
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.chat_template = template_text("chatml")
    tokenizer.save_pretrained(folder)
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "initializer_range": 0.3}
    torch.manual_seed(0)
    net = AutoModelForCausalLM.from_config(FAMILIES["llama"].tiny_config(**sizes))
    net.generation_config.eos_token_id = [tokenizer.eos_token_id]
    net.save_pretrained(folder)
    return folder
