"""What holds of every tracker: it keeps each number once, goes on where it was, and stays below the run's folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lorafit import track
from lorafit.files import JsonObject
from lorafit.track import TRACKERS, TrackedRun, figures
from tests.support.tracked import READ, kept

trackers = pytest.mark.parametrize("name", TRACKERS)
LINES: list[JsonObject] = [
    {
        "event": "score",
        "split": "test",
        "model": "base",
        "scores": {"bleu": 1 / 7},
        "signatures": {"bleu": "a"},
    },
    *({"event": "step", "step": step, "loss": 1 / step, "grad_norm": None} for step in range(1, 5)),
    {"event": "validation", "epoch": 1, "step": 4, "loss": 2 / 3, "scores": {"f1": {"a": 1}}, "best": True},
    {"event": "step", "step": 5, "loss": 1e-8, "grad_norm": 3e7},
    {"event": "score", "split": "test", "model": "adapter", "scores": {"bleu": 50.1, "meteor": None}},
    {"event": "finished", "step": 5, "seconds": 3.5},
]
NUMBERS = {
    "base/test/bleu": [(0, 1 / 7)],
    "train/loss": [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4), (5, 1e-8)],
    "valid/epoch": [(4, 1.0)],
    "valid/loss": [(4, 2 / 3)],
    "valid/f1/a": [(4, 1.0)],
    "train/grad_norm": [(5, 3e7)],
    "adapter/test/bleu": [(5, 50.1)],
    "run/seconds": [(5, 3.5)],
}


def tell(name: str, folder: Path, before: int, after: int) -> None:
    """Lines up to `after` to one tracker; those up to `before` stood in metrics.jsonl when it was opened."""
    notes: list[str] = []
    run = TrackedRun(folder / "track", "run", {"train": {"seed": 0}}, "p", offline=True)
    feed = track.Feed({name: TRACKERS[name]}, run, notes.append)
    feed.replay(LINES[:before])
    for line in LINES[before:after]:
        feed.log(line)
    feed.close()
    assert notes == []


def exactly(name: str) -> dict[str, list[tuple[int, float]]]:
    return {key: [(step, kept(name, value)) for step, value in pairs] for key, pairs in NUMBERS.items()}


@trackers
def test_every_number_is_kept(name: str, tmp_path: Path) -> None:
    tell(name, tmp_path, 0, len(LINES))
    assert READ[name](tmp_path / "track") == exactly(name)


@trackers
def test_a_run_that_goes_on_is_the_same_one_with_every_number_once(name: str, tmp_path: Path) -> None:
    tell(name, tmp_path, 0, 6)
    tell(name, tmp_path, 4, 7)  # the checkpoint lay before the validation
    tell(name, tmp_path, 7, len(LINES))
    assert READ[name](tmp_path / "track") == exactly(name)


def test_what_was_sent_is_not_sent_again(tmp_path: Path) -> None:
    tell("wandb", tmp_path, 0, 4)
    sent = READ["wandb"](tmp_path / "track")
    (file,) = (tmp_path / "track").glob("wandb/offline-run-*/*.wandb")
    Path(f"{file}.synced").touch()  # as `wandb sync` marks it
    tell("wandb", tmp_path, 4, len(LINES))
    assert READ["wandb"](tmp_path / "track") == exactly("wandb")
    file.unlink()
    rest = READ["wandb"](tmp_path / "track")
    assert {name: [*sent.get(name, []), *rest.get(name, [])] for name in NUMBERS} == exactly("wandb")


@trackers
def test_its_files_lie_in_the_folder_of_the_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    tell(name, tmp_path / "run", 0, len(LINES))
    assert {path.name for path in tmp_path.iterdir()} == {"run", "elsewhere"}
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["track"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", [name for name, tracker in TRACKERS.items() if tracker.extra])
def test_a_tracker_that_is_not_installed_is_one_note(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    notes: list[str] = []
    feed = track.Feed(TRACKERS, TrackedRun(tmp_path, "run", {}, "p", offline=True), notes.append)
    feed.log({"event": "step", "step": 1, "loss": 2.0})
    feed.close()
    (note,) = notes
    assert note.startswith(f"{name}: cannot be imported")
    assert note.endswith(f"pip install 'lorafit[{name}]'")


def test_what_is_no_number_is_left_out() -> None:
    line = json.loads(
        '{"event": "validation", "epoch": 1, "step": 7, "loss": 0.5, "scores": {"f1": {"a": 1}}, "best": true}'
    )
    found = figures(line, 0)
    assert found is not None
    assert found.values == {"valid/epoch": 1.0, "valid/loss": 0.5, "valid/f1/a": 1.0}
    assert figures({"event": "checkpoint", "step": 7, "folder": "step-7", "bytes": 3}, 0) is None
