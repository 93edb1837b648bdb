"""PEFT loads what lorafit exports, and lorafit what PEFT saves: the same function, bit-equal tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from lorafit import lora
from lorafit.adapters import BaseChoice, TaskCard, read_adapter, restore
from lorafit.errors import AdapterError, DamagedError, NotFoundError, RecipeError
from lorafit.interop.peft import peft_adapter
from lorafit.interop.peft_layout import from_peft
from lorafit.methods import Full, LoRA
from lorafit.verbs.export import export
from lorafit.verbs.import_ import Given, import_adapter
from lorafit.verbs.verify import verify
from tests.support.adapter_fixtures import make_adapter

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:peft", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
HEAD = TaskCard(name="x", output="label", labels=["no", "yes", "maybe"])


def _peft(base: nn.Module, folder: Path) -> nn.Module:
    from peft import PeftModel

    return PeftModel.from_pretrained(base, str(folder)).eval()


def _base(folder: Path, output: str) -> nn.Module:
    if output == "text":
        return AutoModelForCausalLM.from_pretrained(folder)
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)


@pytest.mark.parametrize(
    ("model_type", "targets", "task"),
    [
        ("gpt2", ("query", "value"), None),
        ("gpt2", ("key", "output", "up"), None),
        ("gpt2", ("c_attn", "wte"), None),
        ("llama", ("query", "value", "embed_tokens"), None),
        ("roberta", ("query", "value", "word_embeddings"), HEAD),
        ("bert", ("query", "up"), HEAD),
    ],
)
def test_peft_computes_the_same_and_everything_comes_back(make_base, tmp_path, model_type, targets, task):
    base = make_base(model_type, **({"tie_word_embeddings": False} if "wte" in targets else {}))
    make_adapter(base, tmp_path / "adapter", LoRA(r=2, alpha=6, targets=targets), task)
    export(tmp_path / "adapter", tmp_path / "out", "peft", BaseChoice())
    first = read_adapter(tmp_path / "adapter")
    model = restore(first)
    ids = torch.arange(1, 25).view(2, 12)
    with torch.no_grad():
        theirs = _peft(_base(base, model.output), tmp_path / "out")(input_ids=ids).logits
        ours = model.net(input_ids=ids).logits
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
    import_adapter(tmp_path / "out", tmp_path / "again", "peft", str(base), Given())
    second = read_adapter(tmp_path / "again")
    assert first.tensors.keys() == second.tensors.keys()
    differing = {n for n, t in first.tensors.items() if not torch.equal(t, second.tensors[n])}
    assert all("word_embeddings" in name for name in differing)  # the padding column, which has no function
    assert {k: second.card.method[k] for k in ("r", "alpha")} == {"r": 2, "alpha": 6.0}
    assert verify(tmp_path / "again").ok


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
    layers = {name: m for name, m in model.named_modules() if isinstance(m, lora.LoRALayer)}
    tensors, config = peft_adapter(layers, lora.lora_state_dict(model), 0.0)
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
        factors = from_peft(a, b, module, 1, 3.0)
        assert torch.equal(factors.lora_a, layers[name].lora_A)
        assert torch.equal(factors.lora_b, layers[name].lora_B)
        assert factors.r == 2


@pytest.mark.parametrize("option", [{"dilation": 2}, {"padding_mode": "circular", "padding": 1}])
def test_convolutions_that_peft_would_compute_otherwise_are_refused(option):
    layer = lora.Conv2d.from_base(nn.Conv2d(3, 4, 3, **option), r=2)
    tensors = {"conv.lora_A": layer.lora_A, "conv.lora_B": layer.lora_B}
    with pytest.raises(AdapterError, match="PEFT overlooks"):
        peft_adapter({"conv": layer}, tensors, 0.0)


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
    import_adapter(tmp_path / "peft", tmp_path / "adapter", "peft", str(base), Given())
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

    def refused(kind: type[Exception], words: str, given: Given = Given()) -> None:  # noqa: B008
        with pytest.raises(kind, match=words):
            import_adapter(tmp_path / "out", tmp_path / "again", "peft", str(gpt2_base), given)

    refused(RecipeError, "peft files hold their own alpha", Given(alpha=3))
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


def test_other_methods_are_refused_by_every_format(gpt2_base, tmp_path):
    make_adapter(gpt2_base, tmp_path / "adapter", Full(), strength=0.01)
    for name in ("peft", "loralib"):
        with pytest.raises(AdapterError, match=f"method 'full' has no counterpart in the {name} format"):
            export(tmp_path / "adapter", tmp_path / "out", name, BaseChoice())
    assert not (tmp_path / "out").exists()
