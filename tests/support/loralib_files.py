"""Files of loralib on their way into adapter folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from lorafit.adapters import read_adapter
from lorafit.verbs.import_ import ImportOptions, ImportResult, import_adapter

FILE = "pytorch_model_lora.bin"


def import_loralib(file: Path, output: Path, base: Path, **given: Any) -> ImportResult:
    """Import with alpha 8, or as given."""
    return import_adapter(file, output, "loralib", str(base), ImportOptions(**({"alpha": 8.0} | given)))


def full_checkpoint(base: Path, adapter_file: Path, **edits: Any) -> dict[str, Any]:
    """As the paper's code saves it at the end of an epoch: base, adapter, causal masks, and the output embedding."""
    net = AutoModelForCausalLM.from_pretrained(base)
    tensors = {f"module.{n}": t for n, t in net.state_dict().items() if not n.startswith("lm_head")}
    tensors["module.lm_head.decoder.weight"] = tensors["module.transformer.wte.weight"]
    tensors["module.transformer.h.0.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
    tensors |= torch.load(adapter_file, weights_only=True)["model_state_dict"]
    return tensors | edits


def same_factors(one: Path, other: Path) -> bool:
    """Whether two adapter folders hold the same tensors."""
    first, second = read_adapter(one).tensors, read_adapter(other).tensors
    return first.keys() == second.keys() and all(torch.equal(t, second[n]) for n, t in first.items())
