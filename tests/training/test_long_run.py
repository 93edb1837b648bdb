"""What is computed by fewer passes stays what it is over a long run."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from lorafit.lora import linear
from lorafit.lora.fused import plain_lora_linear
from lorafit.models.activations import TanhGELU
from lorafit.models.attention import packing
from lorafit.training import Stepped, loss
from tests.support.families import Setting, train_alone

SETTING = Setting(learning_rate=1e-3, num_steps=300)


def test_300_steps_with_the_plain_operators_have_the_same_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = losses()

    def gelu(_: TanhGELU, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    def loss_sum(net: PreTrainedModel, hidden: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return loss.cross_entropy_sum(net.get_output_embeddings()(hidden), targets, label_smoothing)

    monkeypatch.setattr(linear, "lora_linear", plain_lora_linear)
    monkeypatch.setattr(loss, "_loss_sum", loss_sum)
    monkeypatch.setattr(packing, "plain", lambda *_: False)
    monkeypatch.setattr(TanhGELU, "forward", gelu)
    plain = losses()
    assert len(fused) == len(plain) == 300
    assert fused != plain, "other operators were used"
    assert fused[-1] < fused[0] - 0.3, "something was learned"
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-4)


def losses() -> list[float]:
    """Of every step."""
    return [event.loss for event in train_alone("gpt2", SETTING)[1] if isinstance(event, Stepped)]
