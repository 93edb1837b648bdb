"""A checkpoint is whole or is not there; a damaged one is known by its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lorafit.errors import DataError, RecipeError
from lorafit.lora import Draws
from lorafit.run.files.checkpoint import (
    Checkpoint,
    newest_checkpoint,
    prune,
    read_checkpoint,
    write_checkpoint,
)
from lorafit.run.files.paths import checkpoint_folders
from lorafit.training import Position


def checkpoint(step: int = 3, best: Path | None = None, draws: Draws | None = None) -> Checkpoint:
    """One with a bit of everything."""
    trained = {"w": torch.randn(3, 2), "h": torch.randn(4).bfloat16()}
    optimizer = {
        "state": {0: {"step": step, "exp_avg": torch.randn(3, 2)}},
        "param_groups": [{"lr": 0.1, "params": [0]}],
    }
    position = Position(step, epoch=1, step_in_epoch=2, micro_batch_size=4, oom_retries=1)
    rng = [(draws or Draws(0)).state()]
    return Checkpoint(position, trained, optimizer, rng, {"best_quality": -1.5}, best)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    best = tmp_path / "adapter"
    best.mkdir()
    (best / "adapter.json").write_text("{}")
    written = checkpoint(best=best)
    write_checkpoint(tmp_path / "step-3", written)
    read = read_checkpoint(tmp_path / "step-3")
    assert read.position == written.position
    assert read.state == written.state
    assert all(
        torch.equal(read.trained[n], t) and read.trained[n].dtype == t.dtype
        for n, t in written.trained.items()
    )
    assert torch.equal(read.optimizer["state"][0]["exp_avg"], written.optimizer["state"][0]["exp_avg"])
    assert read.best is not None
    assert (read.best / "adapter.json").read_text() == "{}"


def test_the_draws_go_on_where_they_were(tmp_path: Path) -> None:
    draws, x = Draws(5), torch.ones(99)
    first = draws.keep_mask(x, 0.5)
    write_checkpoint(tmp_path / "step-3", checkpoint(draws=draws))
    second = draws.keep_mask(x, 0.5)
    resumed = Draws(5)
    resumed.set_state(read_checkpoint(tmp_path / "step-3").rng[0])
    assert torch.equal(resumed.keep_mask(x, 0.5), second)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (1, "step-12: written by an earlier lorafit, whose random draws were others; pass `resume=.never.`"),
        (3, r"step-12: format version 3 is newer than this lorafit reads \(2\); upgrade lorafit"),
    ],
)
def test_another_format_is_not_damage(tmp_path: Path, version: int, message: str) -> None:
    for step in (8, 12):
        write_checkpoint(tmp_path / f"step-{step}", checkpoint(step))
    path = tmp_path / "step-12" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": version}))
    with pytest.raises(RecipeError, match=message):
        newest_checkpoint(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": "two"}))
    assert newest_checkpoint(tmp_path)[0] == tmp_path / "step-8"


@pytest.mark.parametrize("name", ["state.pt", "progress.json", "manifest.json", "best/adapter.json"])
@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_any_damage_is_noticed_and_the_one_before_is_taken(tmp_path: Path, name: str, how: str) -> None:
    best = tmp_path / "adapter"
    best.mkdir()
    (best / "adapter.json").write_text("{}")
    for step in (8, 12):
        write_checkpoint(tmp_path / f"step-{step}", checkpoint(step, best))
    path = tmp_path / "step-12" / name
    content = path.read_bytes()
    path.unlink()  # the best adapter's files are shared with the adapter folder
    if how == "changed":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=name):
        read_checkpoint(tmp_path / "step-12")
    folder, found, faults = newest_checkpoint(tmp_path)
    assert folder == tmp_path / "step-8"
    assert found is not None
    assert found.position.step == 8
    assert len(faults) == 1
    assert name in faults[0]


def test_steps_are_numbers_and_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        write_checkpoint(tmp_path / f"step-{step}", checkpoint(step))
    assert [path.name for path in checkpoint_folders(tmp_path)] == ["step-100", "step-10", "step-9"]
    prune(tmp_path, keep=2)
    assert [path.name for path in checkpoint_folders(tmp_path)] == ["step-100", "step-10"]
    assert newest_checkpoint(tmp_path / "nowhere") == (None, None, [])
