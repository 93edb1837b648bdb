"""All about one run, adapter or recipe: what stands in its files, and nothing is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorafit.adapters import read_adapter
from lorafit.errors import DamagedError, DataError, NotFoundError
from lorafit.verbs.show import ShownAdapter, ShownRecipe, ShownRun, show
from tests.support.adapter_fixtures import make_adapter
from tests.support.run_folders import e2e_scores, write_run


def test_a_run(cli, tmp_path: Path) -> None:
    path = write_run(tmp_path, "e2e_gpt2m", 3, e2e_scores(70.0), "method.r=2", loss=1.2)
    shown = show(str(path))
    assert isinstance(shown, ShownRun)
    assert shown.best["loss"] == 1.2
    assert shown.changed == ["method.r: 4 -> 2", "train.seed: 110 -> 3"]
    value = json.loads(cli("show", path, "--json").stdout)
    assert (value["state"], value["score"], value["changed"]) == ("finished", 70.0, shown.changed)
    text = cli("show", path).stdout
    assert "changed from the shipped recipe: method.r: 4 -> 2" in text
    assert f"next: lorafit predict {path}/adapter TEXT" in text
    assert "70.4" in text  # the paper's, beside ours


def test_an_adapter(cli, gpt2_base: Path, tmp_path: Path) -> None:
    make_adapter(gpt2_base, tmp_path / "adapter")
    adapter = read_adapter(tmp_path / "adapter")
    shown = show(str(tmp_path / "adapter"))
    assert isinstance(shown, ShownAdapter)
    assert shown.shapes == {name: tuple(tensor.shape) for name, tensor in adapter.tensors.items()}
    assert shown.num_values == sum(tensor.numel() for tensor in adapter.tensors.values())
    assert shown.card["base"]["weights_hash"] == adapter.card.base.weights_hash
    text = cli("show", tmp_path / "adapter").stdout
    assert str(adapter.card.base.weights_hash) in text
    assert "lora: r 4, alpha 8.0" in text


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_adapter_is_named(text: str, gpt2_base: Path, tmp_path: Path) -> None:
    make_adapter(gpt2_base, tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter.json").write_text(text)
    with pytest.raises(DamagedError, match="not readable as an adapter folder"):
        show(str(tmp_path / "adapter"))


def test_tensors_that_are_cut_off(gpt2_base: Path, tmp_path: Path) -> None:
    make_adapter(gpt2_base, tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter.safetensors").write_bytes(b"\xff" * 9)
    with pytest.raises(DamagedError, match="cut off"):
        show(str(tmp_path / "adapter"))


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    path = write_run(tmp_path, "e2e_gpt2m", 0, None)
    (path / "metrics.jsonl").write_text("{\n")
    with pytest.raises(DataError, match=f"{path}: not readable as a run folder"):
        show(str(path))


def test_a_recipe_with_its_runs(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs", "e2e_gpt2m", 0, e2e_scores(70.0))
    shown = show("e2e_gpt2m")
    assert isinstance(shown, ShownRecipe)
    assert [run.path for run in shown.runs] == [Path("runs/e2e_gpt2m/seed-0")]
    (tmp_path / "mine.toml").write_text('extends = "e2e_gpt2m"\n[method]\nr = 8\n')
    text = cli("show", "mine.toml").stdout
    assert "changed from the recipe that it extends: method.r: 4 -> 8" in text
    assert "next: lorafit train mine.toml" in text
    assert json.loads(cli("show", "e2e_gpt2m", "--json").stdout)["recipe"]["paper"]["table"] == "3"


def test_what_is_none_of_them(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="neither a run folder"):
        show(str(tmp_path))
    with pytest.raises(NotFoundError, match="did you mean 'quickstart'"):
        show("quickstrat")
