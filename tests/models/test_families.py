"""One file a family says where query, key, value, output, up and down live; the counts are the paper's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PretrainedConfig,
)

from lorafit import lora
from lorafit.errors import NotFoundError, RecipeError
from lorafit.methods import LoRA
from lorafit.models import FAMILIES, LOGICAL_TARGETS, Head, Place, family_of, load_base, load_config, skeleton
from lorafit.models.shapes import KNOWN_SHAPES


@pytest.mark.parametrize(
    ("base", "r", "trained", "total"),
    [
        ("openai-community/gpt2-medium", 4, 393_216, 354_823_168),
        ("openai-community/gpt2-large", 4, 737_280, 774_030_080),
    ],
)
def test_the_papers_counts(base: str, r: int, trained: int, total: int) -> None:
    model = skeleton(load_config(base, local_only=True), "text")
    assert sum(p.numel() for p in model.net.parameters()) == total
    LoRA(r=r, alpha=32).attach(model)
    assert sum(p.numel() for p in model.trained().values()) == trained


@pytest.mark.parametrize(
    ("model_type", "target"),
    [(name, target) for name in FAMILIES for target in LOGICAL_TARGETS if target in FAMILIES[name].places],
)
def test_every_logical_target_in_every_architecture(model_type: str, target: str) -> None:
    family = FAMILIES[model_type]
    model = skeleton(family.tiny_config(), "text" if "text" in family.heads else "label")
    assert len(model.family.sites(model.net, (target,))) == 2
    LoRA(targets=(target,), r=1).attach(model)
    head = {name for name, _ in model.head_parameters()}
    trained = [name for name in model.trained() if name not in head]
    assert len(trained) == 4
    assert all(name.endswith(("lora_A", "lora_B")) for name in trained)


def test_all_architectures_but_those_that_mix_heads_have_every_logical_target() -> None:
    lacking = {name for name, family in FAMILIES.items() if not {*LOGICAL_TARGETS} <= family.places.keys()}
    assert lacking == {"gpt_neox"}


def test_globs_and_logical_targets_mix() -> None:
    model = skeleton(FAMILIES["gpt2"].tiny_config(), "text")
    sites = model.family.sites(model.net, ("value", "h.0.mlp.*"))
    assert [(site.name, site.enabled) for site in sites] == [
        ("transformer.h.0.attn.c_attn", (False, False, True)),
        ("transformer.h.0.mlp.c_fc", (True,)),
        ("transformer.h.0.mlp.c_proj", (True,)),
        ("transformer.h.1.attn.c_attn", (False, False, True)),
    ]


def test_what_is_meant_as_a_whole_and_by_slices_is_meant_as_a_whole() -> None:
    model = skeleton(FAMILIES["gpt2"].tiny_config(), "text")
    for targets in (("query", "c_attn"), ("c_attn", "query"), ("value", "all-linear")):
        assert {site.enabled for site in model.family.sites(model.net, targets)} == {(True,)}


def test_a_target_that_a_family_lacks_is_refused_with_what_it_has() -> None:
    model = skeleton(FAMILIES["gpt2"].tiny_config(), "text")
    family = replace(FAMILIES["gpt2"], places={"up": Place("mlp.c_fc")})
    with pytest.raises(RecipeError, match="gpt2 has no 'query'; it has up, all-linear"):
        family.sites(model.net, ["query"])
    with pytest.raises(RecipeError, match="logical targets are up, all-linear; did you mean 'all-linear'"):
        family.sites(model.net, ["all-lienar"])


def test_a_fused_projection_whose_parts_differ_in_width() -> None:
    """Phi-3 has query, key and value in one linear layer, with fewer heads for the keys than for the queries."""

    def widths(config: PretrainedConfig) -> tuple[int, ...]:
        width = config.hidden_size // config.num_attention_heads
        groups = config.num_key_value_heads * width
        return config.num_attention_heads * width, groups, groups

    fused = [Place("self_attn.qkv_proj", i, 3, widths) for i in range(3)]
    places = dict(zip(("query", "key", "value"), fused, strict=True))
    config = AutoConfig.for_model(
        "phi3",
        hidden_size=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_hidden_layers=1,
        intermediate_size=8,
        vocab_size=30,
        pad_token_id=0,
    )
    phi3 = replace(FAMILIES["llama"], model_type="phi3", places=places)
    net = AutoModelForCausalLM.from_config(config)
    before = net.model.layers[0].self_attn.qkv_proj.weight.detach().clone()
    sites = phi3.sites(net, ["query", "value"])
    assert [(site.enabled, site.parts) for site in sites] == [((True, False, True), (16, 8, 8))]
    lora.attach(net, sites, r=2, alpha=4)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    lora.detach(net, merge=True)
    moved = (net.model.layers[0].self_attn.qkv_proj.weight != before).any(dim=1)
    assert moved.tolist() == [True] * 16 + [False] * 8 + [True] * 8


def test_every_end_token_ends_a_text() -> None:
    family = FAMILIES["llama"]
    assert family.stop_tokens(family.tiny_config()) == (0,)
    assert family.stop_tokens(family.tiny_config(eos_token_id=[5, 7])) == (5, 7)
    several = GenerationConfig(eos_token_id=[7, 9])
    assert family.stop_tokens(family.tiny_config(eos_token_id=None), several) == (7, 9)
    assert family.stop_tokens(family.tiny_config(eos_token_id=7), several) == (7, 9)


@pytest.mark.parametrize(
    ("reads", "pad_id", "places"),
    [("first", 0, [0, 3, 4]), ("last", None, [2, 3, 7]), ("last", 0, [1, 3, 6]), ("last", 9, [2, 3, 7])],
)
def test_which_token_a_head_reads(
    reads: Literal["first", "last"], pad_id: int | None, places: list[int]
) -> None:
    """The first text ends with padding, the second is nothing but padding."""
    texts = [[5, 6, 0], [0], [7, 0, 8, 0]]
    head = Head(reads)
    lengths = [len(text) for text in texts]
    packed = torch.tensor([[token for text in texts for token in text]])
    assert head.places(packed, lengths, pad_id).tolist() == places
    padded = torch.tensor([text + [0] * (4 - len(text)) for text in texts])
    offsets = [4 * i - start for i, start in enumerate((0, 3, 4))]
    expected = [place + offset for place, offset in zip(places, offsets, strict=True)]
    assert head.places(padded, lengths, pad_id).tolist() == expected
    with pytest.raises(NotFoundError, match="without a single token"):
        head.places(packed, [3, 0, 5], pad_id)


def test_a_base_without_padding_gets_its_tokenizers(make_base: Callable[..., Path]) -> None:
    base = str(make_base("llama"))
    assert load_config(base).pad_token_id is None
    labels = load_base(load_config(base, num_labels=2), base, None, "label")
    assert labels.net.config.pad_token_id == labels.require_tokenizer().pad_token_id == 0
    assert load_base(load_config(base), base, None, "text").net.config.pad_token_id is None


@pytest.mark.parametrize("base", KNOWN_SHAPES)
def test_a_tiny_config_keeps_what_makes_a_model_what_it_is(base: str) -> None:
    like = load_config(base, local_only=True)
    tiny = family_of(like).tiny_config(like)
    for key in family_of(like).tiny.kept:
        assert getattr(tiny, key, None) == getattr(like, key, None), key
    assert (tiny.hidden_size, tiny.num_hidden_layers) == (32, 2)


def test_soft_capped_logits_are_the_nets_own() -> None:
    family, config = FAMILIES["llama"], FAMILIES["llama"].tiny_config()
    assert family.has_bare_output(config)
    config.final_logit_softcapping = 30.0
    assert not family.has_bare_output(config)


@pytest.mark.parametrize("base", KNOWN_SHAPES)
def test_known_shapes_name_known_families(base: str) -> None:
    assert KNOWN_SHAPES[base]["model_type"] in FAMILIES
