"""The quickstart and the notes of loralib's README, line for line, with either library imported as `lora`."""

from __future__ import annotations

from types import ModuleType

import loralib
import pytest
import torch
from torch import nn

import lorafit.lora

both = pytest.mark.parametrize("lora", [loralib, lorafit.lora], ids=["loralib", "lorafit"])


class BigModel(nn.Module):
    """What a user adapts: note 1 (embedding), step 2 (a layer) and note 2 (a merged projection)."""

    def __init__(self, lora: ModuleType, d_model: int = 8) -> None:
        super().__init__()
        self.embedding = lora.Embedding(20, d_model, r=4)
        self.qkv_proj = lora.MergedLinear(d_model, 3 * d_model, r=8, enable_lora=[True, False, True])
        self.norm = nn.LayerNorm(d_model)
        self.layer = lora.Linear(3 * d_model, 20, r=16)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of the same shape of tokens."""
        return self.layer(self.qkv_proj(self.norm(self.embedding(tokens))))


def _pretrained() -> dict[str, torch.Tensor]:
    """A checkpoint of the same model without adapters."""
    model = nn.ModuleDict(
        {
            "embedding": nn.Embedding(20, 8),
            "qkv_proj": nn.Linear(8, 24),
            "norm": nn.LayerNorm(8),
            "layer": nn.Linear(24, 20),
        }
    )
    return model.state_dict()


def _train(model: nn.Module) -> None:
    tokens = torch.randint(0, 20, (4, 5))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()


@both
@pytest.mark.parametrize("bias", ["none", "lora_only", "all"])
def test_quickstart_steps_2_to_5_and_note_3(lora, bias, tmp_path):
    torch.manual_seed(0)
    torch.save(_pretrained(), tmp_path / "ckpt_pretrained.pt")
    model = BigModel(lora)
    model.load_state_dict(torch.load(tmp_path / "ckpt_pretrained.pt"), strict=False)
    lora.mark_only_lora_as_trainable(model, bias=bias)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    _train(model)
    torch.save(lora.lora_state_dict(model, bias=bias), tmp_path / "ckpt_lora.pt")

    restored = BigModel(lora)
    # Load the pretrained checkpoint first
    restored.load_state_dict(torch.load(tmp_path / "ckpt_pretrained.pt"), strict=False)
    # Then load the LoRA checkpoint
    restored.load_state_dict(torch.load(tmp_path / "ckpt_lora.pt"), strict=False)
    tokens = torch.arange(20)
    assert torch.equal(restored(tokens), model(tokens))
    assert set(torch.load(tmp_path / "ckpt_lora.pt")) == trainable


@both
def test_note_2_break_up_or_merge(lora):
    d_model, x = 8, torch.randn(3, 8)
    q_proj = lora.Linear(d_model, d_model, r=8)
    k_proj = nn.Linear(d_model, d_model)
    v_proj = lora.Linear(d_model, d_model, r=8)
    qkv_proj = lora.MergedLinear(d_model, 3 * d_model, r=8, enable_lora=[True, False, True])
    for layer in (q_proj, v_proj):
        nn.init.normal_(layer.lora_B)
    with torch.no_grad():
        qkv_proj.weight.copy_(torch.cat([q_proj.weight, k_proj.weight, v_proj.weight]))
        qkv_proj.bias.copy_(torch.cat([q_proj.bias, k_proj.bias, v_proj.bias]))
        qkv_proj.lora_A.copy_(torch.cat([q_proj.lora_A, v_proj.lora_A]))
        qkv_proj.lora_B.copy_(torch.cat([q_proj.lora_B, v_proj.lora_B]))
    apart = torch.cat([q_proj(x), k_proj(x), v_proj(x)], -1)
    torch.testing.assert_close(qkv_proj(x), apart, rtol=1e-4, atol=1e-4)


@both
def test_note_4_eval_merges_unless_told_not_to(lora):
    tokens = torch.arange(20)
    model = BigModel(lora)
    lora.mark_only_lora_as_trainable(model)
    _train(model)
    before = model(tokens)
    model.eval()
    assert model.layer.merged
    torch.testing.assert_close(model(tokens), before, rtol=1e-3, atol=1e-3)
    model.train()
    assert not model.layer.merged
    torch.testing.assert_close(model(tokens), before, rtol=1e-3, atol=1e-3)
    layer = lora.Linear(4, 4, r=2, merge_weights=False)
    layer.eval()
    assert not layer.merged


@both
def test_layers_of_loralibs_own_test(lora):
    layer = lora.Linear(2, 3)
    layer.eval()
    layer.train()
    conv = lora.Conv2d(16, 16, 3, groups=1, r=8)
    grouped_conv = lora.Conv2d(16, 16, 3, groups=2, r=8)
    input_tensor = torch.randn((2, 16, 8, 8))
    assert conv(input_tensor).shape == grouped_conv(input_tensor).shape == (2, 16, 6, 6)


def test_every_public_name_of_loralib_is_there():
    names = {
        name
        for name, value in vars(loralib).items()
        if getattr(value, "__module__", "").startswith("loralib")
    }
    assert names == {
        "LoRALayer", "ConvLoRA", "Conv1d", "Conv2d", "Conv3d", "Embedding", "Linear", "MergedLinear",
        "lora_state_dict", "mark_only_lora_as_trainable",
    }  # fmt: skip
    assert names <= set(lorafit.lora.__all__)
