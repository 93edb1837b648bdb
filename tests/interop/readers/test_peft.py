"""lorafit imports what PEFT saves: the same function, bit-equal tensors; what it cannot import is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import AdapterError, DamagedError, NotFoundError, RecipeError
from lorafit.tasks import Classification
from lorafit.verbs.export import export
from lorafit.verbs.import_ import ImportOptions, import_adapter
from tests.support.adapter_fixtures import make_adapter

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:peft", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


HEAD = Classification(name="classification", labels=("no", "yes", "maybe"))


def _base(folder: Path, output: str) -> nn.Module:
    if output == "text":
        return AutoModelForCausalLM.from_pretrained(folder)
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)


@pytest.mark.parametrize(
    ("model_type", "config", "task"),
    [
        ("gpt2", {"target_modules": ["c_attn"], "lora_alpha": 12, "r": 4, "fan_in_fan_out": True}, None),
        ("gpt2", {"target_modules": ["c_proj"], "r": 4, "fan_in_fan_out": True, "use_rslora": True}, None),
        ("llama", {"target_modules": ["q_proj", "down_proj"], "lora_alpha": 3, "r": 2}, None),
        ("roberta", {"target_modules": ["query", "value"], "r": 2, "task_type": "SEQ_CLS"}, HEAD),
    ],
)
def test_adapters_that_peft_made_are_imported(make_base, tmp_path, model_type, config, task):
    from peft import LoraConfig, get_peft_model

    base = make_base(model_type)
    torch.manual_seed(0)
    options: dict[str, Any] = {"init_lora_weights": False, **config}
    model = get_peft_model(_base(base, "label" if task else "text"), LoraConfig(**options)).eval()
    model.save_pretrained(tmp_path / "peft")
    import_adapter(tmp_path / "peft", tmp_path / "adapter", "peft", str(base), ImportOptions())
    ids = torch.arange(1, 25).view(2, 12)
    with torch.no_grad():
        ours = restore(read_adapter(tmp_path / "adapter")).net(input_ids=ids).logits
        torch.testing.assert_close(ours, model(input_ids=ids).logits, rtol=1e-5, atol=1e-5)
    export(tmp_path / "adapter", tmp_path / "again", "peft", BaseChoice())
    first = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    second = load_file(tmp_path / "again" / "adapter_model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def _edit(folder: Path, **values: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_cannot_be_imported_is_named(gpt2_base, tmp_path):
    make_adapter(gpt2_base, tmp_path / "adapter")
    export(tmp_path / "adapter", tmp_path / "out", "peft", BaseChoice())

    def refused(kind: type[Exception], words: str, given: ImportOptions = ImportOptions()) -> None:  # noqa: B008
        with pytest.raises(kind, match=words):
            import_adapter(tmp_path / "out", tmp_path / "again", "peft", str(gpt2_base), given)

    refused(RecipeError, "peft files hold their own alpha", ImportOptions(alpha=3))
    _edit(tmp_path / "out", use_dora=True)
    refused(AdapterError, "use_dora = True has no counterpart")
    _edit(tmp_path / "out", use_dora=False, bias="all")
    refused(AdapterError, "bias = 'all' has no counterpart")
    _edit(tmp_path / "out", bias="none", alpha_pattern={"h.1.attn.c_attn": 3})
    refused(AdapterError, "several scales")
    _edit(tmp_path / "out", alpha_pattern={}, peft_type="IA3")
    refused(AdapterError, "only LoRA can be imported")
    (tmp_path / "out" / "adapter_config.json").write_text("[" * 10_000)
    refused(DamagedError, "not a LoRA configuration")
    (tmp_path / "out" / "adapter_config.json").unlink()
    refused(NotFoundError, "so it is not a PEFT adapter")
