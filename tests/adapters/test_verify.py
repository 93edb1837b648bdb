"""`lorafit verify`: each verdict from the fault that earns it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lorafit.adapters import read_adapter, restore, write_adapter
from lorafit.adapters.check import check_answers
from lorafit.errors import NotFoundError, WrongBaseError
from lorafit.methods import LoRA
from lorafit.tasks import make_task
from lorafit.verbs.verify import verify
from tests.support.adapter_fixtures import make_adapter, run_here


@pytest.fixture(scope="module")
def adapter(gpt2_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "adapter"
    make_adapter(gpt2_base, folder)
    return folder


def _rewritten(adapter: Path, folder: Path, **changes: Any) -> Path:
    """A whole, well-sealed folder with another card or other tensors beside the old fingerprint."""
    given = read_adapter(adapter)
    method = given.card.method | {k: v for k, v in changes.items() if k in given.card.method}
    tensors = changes.get("tensors", given.tensors)
    write_adapter(folder, given.card.model_copy(update={"method": method}), tensors, given.fingerprint)
    return folder


def test_a_whole_adapter_is_ok_and_its_answers_come_out_again(adapter):
    result = verify(adapter)
    assert (result.verdict, result.notes) == ("ok", [])
    assert result.difference is not None
    assert result.tolerance is not None
    assert result.difference < result.tolerance / 10


def test_another_base_is_named_by_what_differs(adapter, make_base):
    other = verify(adapter, str(make_base("gpt2", seed=1)))
    assert other.verdict == "wrong base"
    assert "the weights of" in other.detail
    resized = verify(adapter, str(make_base("gpt2", n_layer=1)))
    assert "the config and weights of" in resized.detail


def test_the_answers_tell_another_base_where_the_hash_is_overruled(adapter, make_base):
    given = read_adapter(adapter)
    model = restore(given, base=str(make_base("gpt2", seed=1)), force=True)
    with pytest.raises(WrongBaseError, match="without the adapter it answers otherwise"):
        check_answers(given, model)


@pytest.mark.parametrize(("alpha", "fits"), [(16.0, 2), (4.0, 2), (80.0, 2), (8.5, 2)])
def test_another_alpha_is_found_and_the_right_one_named(adapter, tmp_path, alpha, fits):
    result = verify(_rewritten(adapter, tmp_path / "changed", alpha=alpha))
    assert result.verdict == "wrong alpha or r"
    assert f"alpha / r is {alpha / 4:g}, but the recorded answers fit {fits}" in result.detail


def test_another_r_is_found_by_the_shapes(adapter, tmp_path):
    result = verify(_rewritten(adapter, tmp_path / "changed", r=2))
    assert result.verdict == "wrong alpha or r"
    assert "wrong r" in result.detail


def test_an_adapter_of_zeros_is_not_applied(adapter, tmp_path):
    tensors = {name: torch.zeros_like(t) for name, t in read_adapter(adapter).tensors.items()}
    result = verify(_rewritten(adapter, tmp_path / "zeros", tensors=tensors))
    assert result.verdict == "adapter not applied"


def test_tensors_of_another_training_are_a_corrupted_file(adapter, tmp_path):
    generator = torch.Generator().manual_seed(3)
    tensors = {n: torch.randn(t.shape, generator=generator) for n, t in read_adapter(adapter).tensors.items()}
    result = verify(_rewritten(adapter, tmp_path / "other", tensors=tensors))
    assert result.verdict == "corrupted file"
    assert "not of the same training" in result.detail


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({"method": {"r": 5}}, "wrong alpha or r", "method.r is 5, trained with 4"),
        ({"method": {"alpha": 9.0}}, "wrong alpha or r", "method.alpha is 9.0, trained with 8.0"),
        ({"method": {"targets": ["key"]}}, "corrupted file", 'method.targets is ["key"], trained with'),
        ({"task": {"name": "dart"}}, "corrupted file", 'task.name is "dart", trained with "e2e"'),
        ({"decode": {"num_beams": 3}}, "corrupted file", "adapter.json: was edited after it was written"),
    ],
)
def test_an_edited_card_is_named_by_its_key(adapter, tmp_path, change, verdict, words):
    folder = Path(shutil.copytree(adapter, tmp_path / "edited"))
    document = json.loads((folder / "adapter.json").read_text())
    ((section, values),) = change.items()
    document[section] |= values
    (folder / "adapter.json").write_text(json.dumps(document))
    result = verify(folder)
    assert result.verdict == verdict
    assert words in result.detail


def test_spacing_and_order_of_the_card_mean_nothing(adapter, tmp_path):
    folder = Path(shutil.copytree(adapter, tmp_path / "same"))
    document = json.loads((folder / "adapter.json").read_text())
    (folder / "adapter.json").write_text(json.dumps(dict(reversed(document.items()))))
    assert verify(folder).ok


@pytest.mark.parametrize("output", ["label", "score"])
def test_adapters_with_a_head_verify_too(make_base, tmp_path, output):
    base = make_base("roberta", pad_token_id=1)
    labels = {"labels": ("no", "yes", "maybe")} if output == "label" else {}
    task = make_task("classification" if output == "label" else "regression", **labels)
    make_adapter(base, tmp_path / "adapter", LoRA(r=2, targets=("query",)), task)
    assert verify(tmp_path / "adapter").ok


def test_the_command_says_the_verdict_and_ends_with_its_code(adapter, tmp_path, monkeypatch):
    good = run_here(monkeypatch, ["verify", adapter, "--json"])
    assert good.code == 0
    assert json.loads(good.out)["verdict"] == "ok"
    cut = Path(shutil.copytree(adapter, tmp_path / "cut"))
    (cut / "adapter.safetensors").write_bytes((cut / "adapter.safetensors").read_bytes()[:-1])
    bad = run_here(monkeypatch, ["verify", cut])
    assert bad.code == 6
    assert "corrupted file" in bad.out
    assert "adapter.safetensors" in bad.out


def test_what_is_not_there_is_not_a_bad_adapter(adapter, tmp_path):
    with pytest.raises(NotFoundError, match="no such adapter folder"):
        verify(tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match=r"did you mean '.*adapter'\?"):
        verify(adapter.parent)
