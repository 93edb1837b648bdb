"""Every method from a plan to predictions: what was trained is what is saved, restored, decoded and merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.decoding import Greedy, generate_all
from lorafit.errors import NotMergeableError
from lorafit.methods import AdapterTuning, BitFit, Full, LoRA, Method, Prefix, Top2
from lorafit.recipe import EvalSection
from lorafit.run.options import TrainOptions
from lorafit.run.plan import Plan, make_plan
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.run.train import train
from lorafit.training import ProcessGroup
from lorafit.verbs.evaluate import EvaluateOptions, evaluate
from lorafit.verbs.merge import merge
from tests.conftest import recipe_overrides

CASES: list[Method] = [
    Full(),
    Top2(num_layers=1),
    BitFit(),
    LoRA(r=2, alpha=4.0, also_train=("lm_head", "ln_f", "*.bias")),
    AdapterTuning(variant="houlsby", size=4),
    AdapterTuning(variant="lin", size=4),
    Prefix(length=5, hidden=16),
    Prefix(variant="embedding", length=5, hidden=16),
]
BASE = BaseChoice()


def plan_of(method: Method, base: Path, data: Path) -> Plan:
    overrides = recipe_overrides(base, data, data__max_length=128, eval__metrics=["bleu"])[1::2]
    recipe = open_recipe("e2e_gpt2m", overrides)
    return make_plan(Recipe.model_construct(**dict(recipe) | {"method": method}))


@pytest.mark.parametrize("method", CASES, ids=str)
def test_from_plan_to_predictions(method: Method, gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> None:
    plan = plan_of(method, gpt2_base, e2e_dir)
    events: list[Any] = []
    result = train(plan, tmp_path / "run", events.append, TrainOptions(), ProcessGroup())
    adapter = read_adapter(result.adapter)
    assert adapter.card.method == json.loads(json.dumps(method.options()))
    assert sum(tensor.numel() for tensor in adapter.tensors.values()) == plan.num_trained

    again = evaluate(
        result.adapter,
        BASE,
        EvaluateOptions(output=tmp_path / "eval"),
        EvalSection(metrics=("bleu",)),
        events.append,
        ProcessGroup(),
    )
    assert again.scores["scores"] == result.scores["scores"]
    theirs = (tmp_path / "run" / "predictions" / "test.jsonl").read_text()
    assert (tmp_path / "eval" / "predictions.jsonl").read_text() == theirs

    if method.name in ("adapter", "prefix"):
        with pytest.raises(NotMergeableError, match=method.name):
            merge(result.adapter, tmp_path / "merged", BASE, None, 10**9)
        assert not (tmp_path / "merged").exists()
        return
    merge(result.adapter, tmp_path / "merged", BASE, None, 10**9)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    greedy = Greedy(max_new_tokens=8, eos_token_ids=())
    prompts = [[5, 9, 11, 0], [40, 3, 0]]
    assert generate_all(plain, prompts, greedy) == generate_all(restore(adapter).net, prompts, greedy)
