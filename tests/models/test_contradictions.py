"""Where config and files of a base contradict each other, it is what transformers makes of it, and that is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import NotFoundError
from lorafit.methods import Full, LoRA
from lorafit.metrics import Kind
from lorafit.models import Model, load_base, load_config, skeleton, tie_note
from lorafit.verbs.merge import merge
from lorafit.verbs.verify import verify
from tests.support.adapter_fixtures import make_adapter

IDS = torch.arange(12)[None]
INPUT = {"gpt2": "transformer.wte.weight", "llama": "model.embed_tokens.weight"}
INPUT |= {"gemma": INPUT["llama"], "qwen2": INPUT["llama"]}


def edit(base: Path, change: Callable[[dict[str, Tensor]], Any] | None = None, **config: Any) -> Path:
    """A base of this test alone, with other tensors in its file, or other values in its config."""
    file = base / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    if change is not None:
        change(tensors)
    safetensors.torch.save_file(
        {n: t.contiguous().clone() for n, t in tensors.items()}, file, metadata={"format": "pt"}
    )
    text = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(text | config))
    return base


def load(base: Path, output: Kind = "text") -> Model:
    return load_base(load_config(str(base), num_labels=2), str(base), None, output)


@pytest.fixture
def contradictory(make_base: Callable[..., Path]) -> Callable[[str], Path]:
    """A function that makes a base whose config ties output and input embedding, while its file holds two."""

    def make(model_type: str) -> Path:
        name = INPUT[model_type]

        def change(tensors: dict[str, Tensor]) -> None:
            generator = torch.Generator().manual_seed(5)
            tensors["lm_head.weight"] = torch.randn(tensors[name].shape, generator=generator) * 0.1

        return edit(make_base(model_type, tie_word_embeddings=True), change)

    return make


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "qwen2"])
def test_tied_by_the_config_and_different_in_the_file_is_what_transformers_computes(
    contradictory, model_type, tmp_path
):
    """In the net, in its shape, in a trained adapter, in its fingerprint, and in the merged model."""
    base = contradictory(model_type)
    model = load(base)
    theirs = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(model.net(input_ids=IDS).logits, theirs(input_ids=IDS).logits)
    (note,) = model.notes
    assert note == tie_note(str(base))
    assert "lm_head.weight" in note
    assert INPUT[model_type] in note
    shape = skeleton(load_config(str(base)), "text").net
    assert {n for n, _ in shape.named_parameters()} == {n for n, _ in model.net.named_parameters()}
    make_adapter(base, tmp_path / "adapter", LoRA(r=2, alpha=8))
    assert verify(tmp_path / "adapter").ok
    result = merge(tmp_path / "adapter", tmp_path / "merged", BaseChoice())
    assert result.notes == [note]
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    with torch.no_grad():
        trained = restore(read_adapter(tmp_path / "adapter")).net(input_ids=IDS).logits
        torch.testing.assert_close(merged(input_ids=IDS).logits, trained, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(trained, theirs(input_ids=IDS).logits, atol=1e-2)
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["tie_word_embeddings"] is False
    assert tie_note(str(tmp_path / "merged")) is None


@pytest.mark.parametrize("method", [Full(), LoRA(r=2, alpha=8, targets=("lm_head",))])
def test_both_weights_may_train_where_the_file_holds_both(contradictory, method, tmp_path):
    base = contradictory("gpt2")
    make_adapter(base, tmp_path / "adapter", method, strength=0.05)
    merge(tmp_path / "adapter", tmp_path / "merged", BaseChoice())
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    with torch.no_grad():
        trained = restore(read_adapter(tmp_path / "adapter")).net(input_ids=IDS).logits
        torch.testing.assert_close(merged(input_ids=IDS).logits, trained, rtol=1e-4, atol=1e-4)


def test_a_family_without_a_file_of_its_own_is_taken_alike(tmp_path):
    from transformers import AutoConfig

    from lorafit.models import family_of

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = AutoConfig.for_model("gemma", vocab_size=50, intermediate_size=64, head_dim=8, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    assert tie_note(str(tmp_path)) is None
    edit(tmp_path, lambda t: t.update({"lm_head.weight": t[INPUT["gemma"]] + 1}))
    assert "lm_head.weight" in (tie_note(str(tmp_path)) or "")
    assert not load_config(str(tmp_path)).tie_word_embeddings
    assert family_of(load_config(str(tmp_path))).backbone == "model"


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_tied_and_twice_the_same_is_no_contradiction(make_base, model_type):
    name = INPUT[model_type]
    base = edit(
        make_base(model_type, tie_word_embeddings=True),
        lambda t: t.update({"lm_head.weight": t[name].clone()}),
    )
    assert load(base).notes == ()
    assert load_config(str(base)).tie_word_embeddings


@pytest.mark.parametrize("other", [0.0, 0.5])
def test_a_pickled_file_holds_both_names_anyway(make_base, other):
    """One storage under two names is no contradiction; two values are."""
    base = make_base("gpt2")
    tensors = safetensors.torch.load_file(base / "model.safetensors")
    table = tensors[INPUT["gpt2"]]
    torch.save(tensors | {"lm_head.weight": table + other if other else table}, base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    assert len(load(base).notes) == (other != 0)


def test_tied_and_under_the_outputs_name_alone_is_no_contradiction(make_base):
    base = edit(make_base("gpt2"), lambda t: t.update({"lm_head.weight": t.pop(INPUT["gpt2"])}))
    model = load(base)
    assert model.notes == ()
    assert model.net.get_output_embeddings().weight is model.net.get_input_embeddings().weight


def test_labels_have_no_use_for_the_output_embedding(contradictory):
    base = contradictory("gpt2")
    model = load(base, "label")
    assert model.output == "label"
    assert "lm_head.weight" in model.notes[0]


def test_an_output_embedding_that_the_file_lacks_is_not_drawn_at_random(make_base):
    base = edit(make_base("llama", tie_word_embeddings=True), tie_word_embeddings=False)
    with pytest.raises(NotFoundError, match=r"tie_word_embeddings is false.*no 'lm_head\.weight'.*at random"):
        load(base)
    assert load(base, "label").notes == ()


def test_another_shape_is_said_with_both(make_base):
    base = edit(make_base("gpt2"), vocab_size=400)
    with pytest.raises(
        NotFoundError, match=r"'transformer\.wte\.weight', \[350, 32\] instead of \[400, 32\]"
    ):
        load(base)
    base = edit(make_base("gpt2"), lambda t: t.update({"lm_head.weight": t[INPUT["gpt2"]][:40]}))
    with pytest.raises(NotFoundError, match=r"'lm_head\.weight', \[40, 32\] instead of \[350, 32\]"):
        load(base)


@pytest.mark.parametrize("bare", [False, True])
def test_tensors_that_the_config_has_no_place_for_are_said(make_base, bare):
    """A config of one layer before the files of a model of two: transformers computes the one layer."""

    def change(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors) if bare else ():
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)

    base = edit(make_base("gpt2"), change, n_layer=1)
    (note,) = load(base).notes
    prefix = "" if bare else "transformer."
    assert " tensors of its files have no place in the model of its config.json" in note
    assert f"'{prefix}h.1." in note
    theirs = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(load(base).net(input_ids=IDS).logits, theirs(input_ids=IDS).logits)


def test_a_bias_that_the_output_embedding_would_need_is_said(make_base):
    base = edit(make_base("gpt2"), lambda t: t.update({"lm_head.bias": torch.ones(350)}))
    assert "1 tensors of its files" in load(base).notes[0]
    assert "'lm_head.bias'" in load(base).notes[0]


@pytest.mark.parametrize(
    ("model_type", "output", "more"),
    [
        ("gpt2", "text", {"score.weight": torch.ones(2, 32), "h.0.attn.masked_bias": torch.tensor(-1e4)}),
        ("gpt2", "text", {"transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8).tril()}),
        ("roberta", "label", {"roberta.pooler.dense.weight": torch.ones(32, 32)}),
        ("roberta", "label", {"roberta.embeddings.position_ids": torch.arange(9)[None]}),
        ("bert", "label", {"cls.predictions.decoder.weight": torch.ones(5, 32)}),
        ("bert", "label", {"cls.seq_relationship.weight": torch.ones(2, 32)}),
    ],
)
def test_what_other_tasks_need_or_the_net_computes_is_no_surplus(make_base, model_type, output, more):
    base = edit(make_base(model_type), lambda t: t.update(more))
    assert load(base, output).notes == ()
