"""The files of loralib are as the paper's code writes them, and what it has no layer for is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lorafit import lora
from lorafit.interop.loralib_layout import refusal


def test_gpt2_files_are_as_the_papers_code_writes_them(gpt2_file: Path) -> None:
    document = torch.load(gpt2_file, weights_only=True)
    assert list(document) == ["model_state_dict"]
    shapes = {name: tuple(tensor.shape) for name, tensor in document["model_state_dict"].items()}
    prefix = "module.transformer.h.0.attn.c_attn."
    assert shapes[prefix + "lora_A"] == (8, 32)
    assert shapes[prefix + "lora_B"] == (64, 4)
    assert len(shapes) == 4


FUSED = nn.Linear(6, 12)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lora.Linear.from_base(FUSED, r=2), None),
        (lora.MergedLinear.from_base(FUSED, r=2, enable_lora=[True, False]), None),
        (
            lora.MergedLinear.from_base(FUSED, r=2, enable_lora=[True, True], parts=[8, 4]),
            "parts that are 8, 4",
        ),
        (lora.Conv2d.from_base(nn.Conv2d(3, 4, 1), r=2), None),
        (lora.Conv2d.from_base(nn.Conv2d(3, 4, 3), r=2, layout="loralib"), None),
        (lora.Conv2d.from_base(nn.Conv2d(3, 4, 3), r=2), "rank r of a kernel"),
    ],
)
def test_layers_that_loralib_does_not_have_are_refused(layer: lora.LoRALayer, reason: str | None) -> None:
    found = refusal(layer)
    assert found is None if reason is None else reason in (found or "")
