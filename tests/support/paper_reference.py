"""The tiny GPT-2 of the original code's results in `tests/assets/paper`; its weights are a formula."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from lorafit.models import FAMILIES, Model

PAPER_DIR = Path(__file__).resolve().parents[1] / "assets" / "paper"


def training_record() -> dict[str, Any]:
    """Shape, hyperparameters and the loss of every step."""
    return dict(json.loads((PAPER_DIR / "train.json").read_text()))


def paper_base() -> Model:
    """The base, without adapter and without any dropout."""
    record = training_record()
    shape = {key: record["cfg"][key] for key in ("n_embd", "n_layer", "n_head")}
    config = GPT2Config(**shape, n_positions=512, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    net = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for index, name in enumerate(record["names"]):
            if "lora_" not in name:
                parameter = net.get_parameter(name)
                parameter.copy_(formula_weight(name, index + record["seed_offset"], parameter.shape))
    return Model(net, None, FAMILIES["gpt2"], "text")


def formula_weight(name: str, index: int, shape: torch.Size) -> Tensor:
    """What the formula gives to the parameter `name`, number `index`."""
    element = torch.arange(shape.numel(), dtype=torch.float64)
    x = torch.sin((element + 1) * 12.9898 + (index + 1) * 78.233) * 43758.5453
    u = (2 * (x - x.floor()) - 1).view(shape)
    if name.endswith("lora_B"):
        return torch.zeros(shape)
    if name.endswith("lora_A"):
        return 0.1 * u
    if name.endswith("bias"):
        return 0.05 * u
    if ".ln_" in name:
        return 1 + 0.1 * u
    return {"wte": 1.0, "wpe": 0.3}.get(name.split(".")[1], 2 / math.sqrt(shape[0])) * u
