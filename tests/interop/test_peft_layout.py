"""LoRA factors in PEFT's layout: PEFT computes the same with them, and they come back bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lorafit import lora
from lorafit.interop.peft_layout import from_peft, refusal, to_peft
from lorafit.interop.writers.peft import peft_adapter

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:peft", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


def _peft(base: nn.Module, folder: Path) -> nn.Module:
    from peft import PeftModel

    return PeftModel.from_pretrained(base, str(folder)).eval()


class Picture(nn.Module):
    """A small convolutional classifier, with groups."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 12, (3, 1), groups=2)
        self.point = nn.Conv1d(12, 6, 1)
        self.out = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, 4]."""
        h = self.second(self.first(x).relu()).relu()
        return self.out(self.point(h.flatten(2)).mean(-1))


def test_peft_computes_the_same_convolutions(tmp_path):
    torch.manual_seed(0)
    model, base = Picture(), Picture()
    base.load_state_dict(model.state_dict())
    sites = [lora.Site(name) for name in ("first", "second", "point", "out")]
    lora.attach(model, sites, r=2, alpha=6, init="paper-gpt2")
    with torch.no_grad():
        for layer in lora.lora_layers(model):
            layer.lora_A.mul_(8)
            layer.lora_B.mul_(8)
    layers = lora.adapted_layers(model)
    tensors, config = peft_adapter(layers)
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    x = torch.randn(2, 3, 9, 7)
    with pytest.warns(UserWarning, match="groups > 1"):
        adapted = _peft(base, tmp_path)
    with torch.no_grad():
        assert not torch.allclose(adapted(x), Picture()(x), atol=1e-2)
        torch.testing.assert_close(adapted(x), model(x), rtol=0, atol=1e-5)
    for name, module in Picture().named_children():
        a, b = (tensors[f"base_model.model.{name}.lora_{f}.weight"] for f in "AB")
        factors = from_peft({"A": a, "B": b}, module, 1, 3.0)
        assert torch.equal(factors.tensors["lora_A"], layers[name].lora_A)
        assert torch.equal(factors.tensors["lora_B"], layers[name].lora_B)
        assert factors.r == 2


@pytest.mark.parametrize("option", [{"dilation": 2}, {"padding_mode": "circular", "padding": 1}])
def test_convolutions_that_peft_would_compute_otherwise_are_refused(option):
    layer = lora.Conv2d.from_base(nn.Conv2d(3, 4, 3, **option), r=2)
    reason = refusal(layer)
    assert reason is not None
    assert "PEFT overlooks" in reason


@pytest.mark.parametrize("enabled", [[True, True, True], [True, False, True], [False, True, False]])
@pytest.mark.parametrize("parts", [[4, 4, 4], [8, 2, 2]])
def test_the_parts_of_a_fused_projection_are_blocks_of_one_pair(enabled, parts):
    layer = lora.MergedLinear.from_base(
        nn.Linear(5, 12), r=2, lora_alpha=6, enable_lora=enabled, parts=parts, init="paper-gpt2"
    )
    factors = to_peft(layer)
    delta = layer.scaling * factors["lora_B.weight"] @ factors["lora_A.weight"]
    torch.testing.assert_close(delta, layer.delta_weight())
    if len(set(parts)) == 1:
        pair = {"A": factors["lora_A.weight"], "B": factors["lora_B.weight"]}
        back = from_peft(pair, nn.Linear(5, 12), 3, 3.0)
        assert back.enabled == tuple(enabled)
        assert all(torch.equal(tensor, getattr(layer, key)) for key, tensor in back.tensors.items())
