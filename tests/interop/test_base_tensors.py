"""What a foreign file repeats of its base is held against the base."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lorafit.errors import AdapterError
from lorafit.interop.base_tensors import BaseTensors
from lorafit.metrics import Kind
from lorafit.models import load_base, load_config, skeleton

FILE = Path("adapter.pt")
WEIGHT = "transformer.h.1.mlp.c_fc.weight"


def base_tensors(base: Path, output: Kind = "text") -> BaseTensors:
    return BaseTensors.of(str(base), skeleton(load_config(str(base), num_labels=2), output))


def weights(base: Path, output: Kind = "text") -> dict[str, Tensor]:
    model = load_base(load_config(str(base), num_labels=2), str(base), None, output)
    return {n: t for n, t in model.net.state_dict().items() if not model.is_head(n)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("output", ["text", "label"])
def test_a_whole_copy_of_the_base_is_accepted_in_any_format(gpt2_base, dtype, output):
    copy = {name: tensor.to(dtype) for name, tensor in weights(gpt2_base).items()}
    base_tensors(gpt2_base, output).check(FILE, copy)
    bare = {name.removeprefix("transformer."): tensor for name, tensor in copy.items()}
    base_tensors(gpt2_base, output).check(FILE, bare)


def test_one_changed_value_is_named_with_its_size(gpt2_base):
    copy = weights(gpt2_base)
    copy[WEIGHT] = copy[WEIGHT].clone()
    copy[WEIGHT][3, 5] += 0.25
    with pytest.raises(
        AdapterError, match=rf"'{WEIGHT}' differs from the base's by up to 0\.25; 1 of its 29"
    ):
        base_tensors(gpt2_base).check(FILE, copy)


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        (WEIGHT, torch.zeros(32, 64), r"is \[32, 64\], and the base's \[32, 128\]"),
        (WEIGHT, torch.full((32, 128), torch.nan), "is not finite"),
        ("lm_head.weight", torch.zeros(3, 32), "and the base's"),
        ("lm_head.decoder.weight", torch.zeros(3, 32), "and the base's"),
        ("transformer.h.0.attn.bias", torch.ones(1, 1, 4, 4), "differs from the base's by up to 1"),
        ("transformer.h.0.attn.masked_bias", torch.tensor(0.0), "differs from the base's by up to 1e"),
        ("transformer.h.0.attn.rotary", torch.zeros(1), "has no place in the model"),
    ],
)
def test_what_is_not_the_bases_is_refused_by_name(gpt2_base, name, tensor, words):
    with pytest.raises(AdapterError, match=words) as raised:
        base_tensors(gpt2_base).check(FILE, {name: tensor})
    assert name in str(raised.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8, torch.float16])
@pytest.mark.parametrize("size", [1, 4, 1024])
def test_the_causal_mask_that_old_code_saved_is_known(gpt2_base, dtype, size):
    mask = torch.ones(1, 1, size, size).tril().to(dtype)
    base_tensors(gpt2_base).check(FILE, {"h.0.attn.bias": mask, "h.1.attn.masked_bias": torch.tensor(-1e4)})


def test_the_output_embedding_is_the_bases_under_each_of_its_names(gpt2_base):
    table = weights(gpt2_base)["transformer.wte.weight"]
    for name in ("lm_head.weight", "lm_head.decoder.weight", "wte.weight"):
        for output in ("text", "label"):
            base_tensors(gpt2_base, output).check(FILE, {name: table})
            with pytest.raises(AdapterError, match="differs"):
                base_tensors(gpt2_base, output).check(FILE, {name: table + 1})


def test_position_ids_are_what_the_net_computes(make_base):
    base = base_tensors(make_base("bert"), "label")
    base.check(FILE, {"bert.embeddings.position_ids": torch.arange(64)[None]})
    with pytest.raises(AdapterError, match="differs"):
        base.check(FILE, {"bert.embeddings.position_ids": torch.arange(64)[None] + 2})


def test_weights_under_names_of_old_are_found(make_base):
    """gamma and beta, which transformers alone translates."""
    import safetensors.torch

    base = make_base("bert")
    file = base / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    old = {n.replace("LayerNorm.weight", "LayerNorm.gamma"): t for n, t in tensors.items()}
    safetensors.torch.save_file(old, file, metadata={"format": "pt"})
    norm = tensors["bert.embeddings.LayerNorm.weight"]
    base_tensors(base, "label").check(FILE, {"bert.embeddings.LayerNorm.weight": norm})
    with pytest.raises(AdapterError, match="differs"):
        base_tensors(base, "label").check(FILE, {"bert.embeddings.LayerNorm.weight": norm + 1})


def test_without_the_bases_weights_nothing_is_taken_on_trust(gpt2_base, tmp_path):
    (tmp_path / "config.json").write_text((gpt2_base / "config.json").read_text())
    base_tensors(tmp_path).check(FILE, {})
    base_tensors(tmp_path).check(FILE, {"h.0.attn.bias": torch.ones(1, 1, 4, 4).tril()})
    with pytest.raises(AdapterError, match=rf"'{WEIGHT}'.* are not here to compare.*pass `base`"):
        base_tensors(tmp_path).check(FILE, {WEIGHT: torch.zeros(32, 128)})
