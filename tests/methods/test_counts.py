"""The numbers of trained parameters behind the LoRA paper's tables, on the shapes of its own bases."""

from __future__ import annotations

from typing import Any

import pytest

from lorafit.methods import AdapterTuning, BitFit, LoRA, Method, Prefix, Top2
from lorafit.models import load_config, skeleton
from lorafit.run.plan import make_plan
from lorafit.run.recipes import Recipe, open_recipe

GPT2_M, GPT2_L = "openai-community/gpt2-medium", "openai-community/gpt2-large"
LIN_SMALL, LIN_BIG = AdapterTuning(variant="lin", size=6), AdapterTuning(variant="lin", size=224)

COUNTS: list[tuple[str, Method, int]] = [
    (GPT2_M, LoRA(r=4), 393_216),
    (GPT2_M, LIN_SMALL, 368_784),
    (GPT2_M, LIN_BIG, 11_089_152),
    (GPT2_M, AdapterTuning(size=112), 11_064_576),
    (GPT2_M, Top2(), 25_192_448),
    (GPT2_M, Prefix(length=5), 245_760),
    (GPT2_M, Prefix(length=10), 491_520),
    (GPT2_M, Prefix(variant="embedding", length=5), 5 * 1024),
    (GPT2_L, LoRA(r=4), 737_280),
    (GPT2_L, AdapterTuning(variant="lin", size=8), 875_808),
    (GPT2_L, AdapterTuning(variant="lin", size=248), 23_002_848),
]


def plan_of(base: str, method: Method) -> Any:
    recipe = open_recipe("e2e_gpt2m", [f"model.base={base}"])
    return make_plan(Recipe.model_construct(**dict(recipe) | {"method": method}))


@pytest.mark.parametrize(("base", "method", "expected"), COUNTS, ids=str)
def test_counts_of_the_tables_on_gpt2(base: str, method: Method, expected: int) -> None:
    assert plan_of(base, method).num_trained == expected


def test_the_reparameterisation_is_counted_apart() -> None:
    plan = plan_of(GPT2_M, Prefix(length=5, hidden=512))
    columns = 24 * 2 * 1024
    assert plan.num_dropped == 5 * 1024 + (1024 + 1) * 512 + (512 + 1) * columns
    assert plan_of(GPT2_M, Prefix(length=5, hidden=0)).num_dropped == 0
    assert plan_of(GPT2_M, LIN_SMALL).num_dropped == 0


ROBERTA_B, ROBERTA_L = "FacebookAI/roberta-base", "FacebookAI/roberta-large"
DEBERTA = "microsoft/deberta-v2-xxlarge"

ENCODER_COUNTS: list[tuple[str, Method, int]] = [
    (ROBERTA_B, LoRA(r=8), 294_912),
    (ROBERTA_B, BitFit(), 102_144),
    (ROBERTA_B, AdapterTuning(variant="adapterdrop", size=16), 304_320),
    (ROBERTA_B, AdapterTuning(variant="adapterdrop", size=48), 894_528),
    (ROBERTA_L, LoRA(r=8), 786_432),
    (ROBERTA_L, AdapterTuning(variant="houlsby", size=8), 835_968),
    (ROBERTA_L, AdapterTuning(variant="houlsby", size=64), 6_343_680),
    (ROBERTA_L, AdapterTuning(variant="pfeiffer", size=16), 811_392),
    (ROBERTA_L, AdapterTuning(variant="pfeiffer", size=64), 3_171_840),
    (DEBERTA, LoRA(r=16), 4_718_592),
]


@pytest.mark.parametrize(("base", "method", "expected"), ENCODER_COUNTS, ids=str)
def test_counts_of_the_tables_on_encoders_without_the_head(base: str, method: Method, expected: int) -> None:
    shape = skeleton(load_config(base, num_labels=2, local_only=True), "label")
    head = {name for name, _ in shape.head_parameters()}
    method.attach(shape)
    assert sum(p.numel() for name, p in shape.trained().items() if name not in head) == expected
    assert head <= shape.trained().keys()
