"""PEFT loads what lorafit exports, and computes the same; what comes back has the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.methods import LoRA
from lorafit.tasks import Classification
from lorafit.verbs.export import export
from lorafit.verbs.import_ import ImportOptions, import_adapter
from lorafit.verbs.verify import verify
from tests.support.adapter_fixtures import make_adapter

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:peft", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


HEAD = Classification(name="classification", labels=("no", "yes", "maybe"))


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
    import_adapter(tmp_path / "out", tmp_path / "again", "peft", str(base), ImportOptions())
    second = read_adapter(tmp_path / "again")
    assert first.tensors.keys() == second.tensors.keys()
    differing = {n for n, t in first.tensors.items() if not torch.equal(t, second.tensors[n])}
    assert all("word_embeddings" in name for name in differing)  # the padding column, which has no function
    assert {k: second.card.method[k] for k in ("r", "alpha")} == {"r": 2, "alpha": 6.0}
    assert verify(tmp_path / "again").ok
