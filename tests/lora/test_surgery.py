"""Finding modules by name, swapping them, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import lorafit.lora as lora
from lorafit.errors import RecipeError
from lorafit.lora.surgery import adaptable

QV = (True, False, True)


@pytest.fixture
def gpt2() -> GPT2LMHeadModel:
    config = GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=20, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config).eval()


def test_patterns_match_whole_names_or_their_ends(gpt2):
    attention = [f"transformer.h.{i}.attn.c_attn" for i in range(2)]
    assert list(lora.find(gpt2, ["c_attn"])) == attention
    assert list(lora.find(gpt2, ["attn.c_attn", "transformer.h.?.attn.c_attn"])) == attention
    assert list(lora.find(gpt2, ["transformer.h.1.*"])) == [
        f"transformer.h.1.{name}" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    assert list(lora.find(gpt2, ["lm_head", "wte"])) == ["transformer.wte", "lm_head"]


def test_a_pattern_that_matches_nothing_says_what_there_is(gpt2):
    with pytest.raises(RecipeError) as error:
        lora.find(gpt2, ["c_attn", "c_atn"])
    assert str(error.value) == (
        "target 'c_atn' matches no module that can be adapted; did you mean 'c_attn'? there are "
        "transformer.wte, transformer.wpe, transformer.h.*.attn.c_attn, transformer.h.*.attn.c_proj, "
        "transformer.h.*.mlp.c_fc, transformer.h.*.mlp.c_proj, lm_head"
    )
    with pytest.raises(RecipeError, match="target 'ln_1' matches no module that can be adapted"):
        lora.find(gpt2, ["ln_1"])


def test_attach_swaps_each_site_and_leaves_the_model_as_it_was(gpt2):
    tokens = torch.arange(8)[None]
    logits, frozen = gpt2(tokens).logits, dict(gpt2.named_parameters())
    sites = [
        lora.Site("transformer.h.0.attn.c_attn", QV),
        lora.Site("transformer.h.1.mlp.c_fc"),
        lora.Site("lm_head"),
    ]
    names = lora.attach(gpt2, sites, r=4, alpha=32, dropout=0.1)
    assert names == [site.name for site in sites]
    layers = [gpt2.get_submodule(name) for name in names]
    assert [type(layer) for layer in layers] == [lora.MergedLinear, lora.Linear, lora.Linear]
    assert layers[0].enable_lora == list(QV)
    assert layers[0].lora_A.shape == (8, 8)
    assert layers[0].lora_B.shape == (16, 4)
    assert all(layer.scaling == 8 and layer.lora_dropout.p == 0.1 and not layer.training for layer in layers)
    assert torch.equal(gpt2(tokens).logits, logits)
    now = dict(gpt2.named_parameters())
    assert all(now[name] is parameter for name, parameter in frozen.items())
    # Only what is adapted is frozen: lm_head shares its weight with wte.
    adapted = {*(f"{n}.{p}" for n in names for p in ("weight", "bias")), "transformer.wte.weight"}
    assert {n for n, p in frozen.items() if not p.requires_grad} == adapted & set(frozen)


def test_a_site_may_have_a_rank_an_alpha_and_a_layer_of_its_own(gpt2):
    class Doubled(lora.Linear):
        def delta_rows(self, start, stop):
            return 2 * super().delta_rows(start, stop)

    attention, up, down = (f"transformer.h.0.{name}" for name in ("attn.c_attn", "mlp.c_fc", "mlp.c_proj"))
    sites = [lora.Site(attention, QV, r=2), lora.Site(up, alpha=5), lora.Site(down, kind=Doubled)]
    lora.attach(gpt2, sites, r=4, alpha=32, init="paper-gpt2")
    layers = [gpt2.get_submodule(site.name) for site in sites]
    assert [(layer.r, layer.lora_alpha, layer.scaling) for layer in layers] == [
        (2, 32, 16.0),
        (4, 5, 1.25),
        (4, 32, 8.0),
    ]
    assert layers[0].lora_A.shape == (4, 8)
    assert type(layers[2]) is Doubled
    torch.testing.assert_close(layers[2].delta_weight(), 2 * 8.0 * (layers[2].lora_B @ layers[2].lora_A).T)


def test_gpt2_medium_has_the_papers_parameter_count():
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config(n_layer=24, n_head=16, n_embd=1024))
    lora.attach(model, [lora.Site(name, QV) for name in lora.find(model, ["c_attn"])], r=4, alpha=32)
    lora.mark_only_lora_as_trainable(model)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 393_216


def test_one_generator_makes_the_whole_attachment_reproducible():
    def adapter(seed: int) -> dict[str, torch.Tensor]:
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        generator = torch.Generator().manual_seed(seed)
        lora.attach(model, [lora.Site("0"), lora.Site("1")], r=2, alpha=2, generator=generator)
        return lora.lora_state_dict(model)

    one, again, other = adapter(1), adapter(1), adapter(2)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["0.lora_A"], other["0.lora_A"])
    assert not torch.equal(one["0.lora_A"], one["1.lora_A"])


def test_every_kind_of_module_can_be_attached(kind):
    model, x = nn.Sequential(kind.base()), kind.input()
    before = model(x)
    enabled, parts = tuple(kind.options.get("enable_lora", (True,))), kind.options.get("parts")
    lora.attach(model, [lora.Site("0", enabled, parts)], r=2, alpha=4)
    assert isinstance(model[0], kind.layer)
    assert torch.equal(model(x), before)
    assert adaptable(model) == {}, "neither the layer nor what is inside it is adapted again"


def test_a_shared_module_is_swapped_once_in_all_its_places():
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, nn.Linear(4, 4)), "c": shared})
    sites = [lora.Site(name) for name in lora.find(model, ["a", "b.0", "c"])]
    assert lora.attach(model, sites, r=2, alpha=4) == ["a", "b.0", "c"]
    assert model["a"] is model.get_submodule("b.0") is model["c"]
    assert isinstance(model["a"], lora.Linear)
    assert len(list(lora.lora_layers(model))) == 1
    assert {"a.lora_A", "b.0.lora_A", "c.lora_A"} < set(lora.lora_state_dict(model))
    lora.detach(model)
    assert model["a"] is model.get_submodule("b.0") is model["c"] is shared


def test_attach_refuses_by_name_and_changes_nothing():
    shared = nn.Linear(4, 6)
    model = nn.ModuleDict({"query": nn.Linear(4, 6), "table": nn.Embedding(3, 4), "a": shared, "b": shared})
    cases = [
        (
            [lora.Site("qery")],
            "no module 'qery' that can be adapted; did you mean 'query'. there are query, table",
        ),
        (
            [lora.Site("query"), lora.Site("query", (True,) * 4)],
            "query and query are one module, but ask for different adapters",
        ),
        (
            [lora.Site("a"), lora.Site("b", (True, False))],
            "a and b are one module, but ask for different adapters",
        ),
        ([lora.Site("query"), lora.Site("a", (True,) * 4)], "a: 4 slices do not divide 6 out_features"),
        ([lora.Site("table", (True, False))], "table: the output of Embedding has no slices to choose from"),
        ([lora.Site("query", (False, False))], "query: no slice is enabled"),
        (
            [lora.Site("a", r=2), lora.Site("b", r=3)],
            "a and b are one module, but ask for different adapters",
        ),
        (
            [lora.Site("query", (True, False), (3, 2))],
            r"query: parts \[3, 2\] are not 2 widths that make up 6",
        ),
        ([lora.Site("query", (True, False), (2, 2, 2))], r"query: parts \[2, 2, 2\] are not 2 widths"),
        ([lora.Site("query", (True, False), (6, 0))], r"query: parts \[6, 0\] are not 2 widths"),
        ([lora.Site("query", r=0)], "query: r must be at least 1, not 0"),
        ([lora.Site("query", kind=lora.Embedding)], r"query: lora\.Embedding cannot stand in for Linear"),
    ]
    for sites, message in cases:
        with pytest.raises(RecipeError, match=message):
            lora.attach(model, sites, r=2, alpha=4)
    with pytest.raises(RecipeError, match="r must be at least 1, not 0"):
        lora.attach(model, [lora.Site("query")], r=0, alpha=4)
    with pytest.raises(RecipeError, match=r"query: .* lora_dropout within 0\.\.1"):
        lora.attach(model, [lora.Site("query")], r=1, alpha=4, dropout=2)
    assert [type(module) for module in model.values()] == [nn.Linear, nn.Embedding, nn.Linear, nn.Linear]


def test_replace_finds_every_place_and_not_the_model_itself():
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.Sequential(shared))
    lora.replace(model, "1.0", new := nn.Linear(2, 2))
    assert model[0] is model.get_submodule("1.0") is new
    with pytest.raises(ValueError, match="a model cannot be replaced inside itself"):
        lora.replace(model, "", new)
