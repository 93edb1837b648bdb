"""Adapters that PEFT makes and saves, and what it computes with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.verbs.export import export
from lorafit.verbs.import_ import ImportOptions, import_adapter
from lorafit.verbs.merge import merge

CONFIG = "adapter_config.json"
ALLOWED = 1e-4


def load_net(folder: Path, output: str = "text") -> Any:
    """As PEFT's users load a base; what its files lack is drawn from one seed."""
    torch.manual_seed(0)
    if output == "text":
        return AutoModelForCausalLM.from_pretrained(folder).eval()
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3).eval()


def save_peft(base: Path, folder: Path, output: str = "text", *, net: Any = None, **config: Any) -> nn.Module:
    """A PEFT adapter whose every trained value is somewhere else than where it began."""
    from peft import LoraConfig, get_peft_model

    task = "CAUSAL_LM" if output == "text" else "SEQ_CLS"
    values = {"r": 4, "lora_alpha": 8, "target_modules": ["c_attn"], "task_type": task, **config}
    model = get_peft_model(net if net is not None else load_net(base, output), LoraConfig(**values))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise, alpha=0.5 if "lora_" in name else 0.2)
    model.save_pretrained(str(folder))
    return model.eval()


def edit_config(folder: Path, **values: Any) -> None:
    """Write other values into the config of a PEFT folder."""
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@torch.no_grad()
def logits(net: Any) -> Tensor:
    """Of two texts."""
    result: Tensor = net(input_ids=torch.arange(1, 25).view(2, 12)).logits
    return result


def peft_logits(base: Path, folder: Path, output: str = "text") -> Tensor:
    """What PEFT computes with an adapter that it loads."""
    from peft import PeftModel

    return logits(PeftModel.from_pretrained(load_net(base, output), str(folder)).eval())


def check_the_whole_way(base: Path, folder: Path, output: str = "text") -> None:
    """Import, merge, export and read back the PEFT adapter in `folder`/peft: PEFT's logits after each step."""
    expected = peft_logits(base, folder / "peft", output)
    assert (expected - logits(load_net(base, output))).abs().max() > 0.1
    import_adapter(folder / "peft", folder / "adapter", "peft", str(base), ImportOptions())
    merge(folder / "adapter", folder / "merged", BaseChoice())
    export(folder / "adapter", folder / "exported", "peft", BaseChoice())
    import_adapter(folder / "exported", folder / "again", "peft", str(base), ImportOptions())
    steps = {
        "import": logits(restore(read_adapter(folder / "adapter")).net),
        "merge": logits(load_net(folder / "merged", output)),
        "export": peft_logits(base, folder / "exported", output),
        "read back": logits(restore(read_adapter(folder / "again")).net),
    }
    for step, got in steps.items():
        assert (got - expected).abs().max() <= ALLOWED, step
