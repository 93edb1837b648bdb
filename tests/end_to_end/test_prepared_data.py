"""A run whose rows and token ids come from the cache is the run that reads them, to the last bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lorafit import cache
from lorafit.data.readers import READERS
from lorafit.objectives import encoder
from tests.conftest import recipe_overrides
from tests.support.tiny_encoders import save_encoder, write_sst2

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def recipes(
    gpt2_base: Path, e2e_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, list[str]]:
    """Arguments of `train` for texts and for labels."""
    base = save_encoder(tmp_path_factory.mktemp("roberta"), "roberta")
    glue = write_sst2(tmp_path_factory.mktemp("glue"))
    changes = {"model.base": base, "data.dir": glue, "train.max_steps": 3, "train.log_every": 1}
    labels = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    return {
        "texts": [
            "e2e_gpt2m",
            *recipe_overrides(
                gpt2_base, e2e_dir, train__max_steps=3, decode__num_beams=1, eval__metrics=["bleu"]
            ),
        ],
        "labels": ["sst2_roberta_base", *labels],
    }


def result(run: Path) -> list[Any]:
    """Losses, tensors, predictions and scores of a run."""
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [(event.get("loss"), event.get("grad_norm")) for event in events]
    predictions = {path.name: path.read_text() for path in (run / "predictions").iterdir()}
    scores = json.loads((run / "scores.json").read_text())["scores"]
    return [losses, (run / "adapter" / "adapter.safetensors").read_bytes(), predictions, scores]


@pytest.mark.parametrize("kind", ["texts", "labels"])
def test_a_run_from_the_cache_is_the_same_run(
    kind: str, recipes: Mapping[str, list[str]], cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORAFIT_CACHE", str(tmp_path / "cache"))
    arguments = recipes[kind]
    cli("train", *arguments, "--output", tmp_path / "plain")
    assert cache.entries() == []
    monkeypatch.setattr("lorafit.data.stored.FEW_ROWS", 0)
    monkeypatch.setattr(encoder, "BLOCK_ROWS", 5)
    cli("train", *arguments, "--output", tmp_path / "first")
    assert {entry.kind for entry in cache.entries()} == {"rows", "token ids"}
    made = {entry.path: entry.made for entry in cache.entries()}
    with monkeypatch.context() as patch:
        for reader in READERS.values():  # nothing is read any more
            patch.setattr(reader, "read", None)
        cli("train", *arguments, "--output", tmp_path / "again")
        cli(
            "eval",
            tmp_path / "again" / "adapter",
            "--split",
            "valid",
            "--metric",
            "bleu" if kind == "texts" else "accuracy",
        )
    assert {entry.path: entry.made for entry in cache.entries()} == made
    for name in ("first", "again"):
        assert result(tmp_path / name) == result(tmp_path / "plain")
