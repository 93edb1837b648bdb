"""One table says where query, key, value, output, up and down live; the counts are the paper's."""

from __future__ import annotations

import pytest

from lorafit.errors import RecipeError
from lorafit.methods import LoRA
from lorafit.models import FAMILIES, LOGICAL_TARGETS, load_config, skeleton
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


def small_config(model_type: str):
    from transformers import AutoConfig

    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    if model_type == "gpt2":
        sizes = {"n_embd": 8, "n_layer": 2, "n_head": 2}
    return AutoConfig.for_model(model_type, vocab_size=30, **sizes)


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("target", LOGICAL_TARGETS)
def test_every_logical_target_in_every_architecture(model_type: str, target: str) -> None:
    output = "text" if model_type in ("gpt2", "llama", "mistral", "qwen2", "qwen3") else "label"
    model = skeleton(small_config(model_type), output)
    if target not in model.family.places:
        with pytest.raises(RecipeError, match=f"has no '{target}'; it has"):
            LoRA(targets=(target,)).attach(model)
        return
    sites = model.family.sites(model.net, (target,))
    assert len(sites) == 2
    LoRA(targets=(target,), r=1).attach(model)
    head = {name for name, _ in model.head_parameters()}
    lora = [name for name in model.trained() if name not in head]
    assert len(lora) == 4
    assert all(name.endswith(("lora_A", "lora_B")) for name in lora)


def test_globs_and_logical_targets_mix() -> None:
    model = skeleton(small_config("gpt2"), "text")
    sites = model.family.sites(model.net, ("value", "h.0.mlp.*"))
    assert [(site.name, site.enabled) for site in sites] == [
        ("transformer.h.0.attn.c_attn", (False, False, True)),
        ("transformer.h.0.mlp.c_fc", (True,)),
        ("transformer.h.0.mlp.c_proj", (True,)),
        ("transformer.h.1.attn.c_attn", (False, False, True)),
    ]


@pytest.mark.parametrize("base", KNOWN_SHAPES)
def test_known_shapes_name_known_families(base: str) -> None:
    assert KNOWN_SHAPES[base]["model_type"] in FAMILIES
