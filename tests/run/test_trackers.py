"""Trackers show what metrics.jsonl holds, every number once, and never stop a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from lorafit import track
from lorafit.errors import RecipeError
from lorafit.recipe import differing_keys, recipe_hash
from lorafit.run.events import Event
from lorafit.run.files.summary import read_events
from lorafit.run.options import TrainOptions
from lorafit.run.recipes import open_recipe
from lorafit.run.train import TrainResult
from lorafit.track import TRACKERS, Figures, TrackedRun, Tracker, figures
from lorafit.training import Stepped
from tests.run.conftest import Runner, assert_equal_runs
from tests.support.tracked import READ, Numbers, kept, rows_of_wandb

RESULTS = ("step", "validation", "score", "finished")
MakeRunner = Callable[..., Runner]


def expected(metrics: Path, name: str) -> Numbers:
    """All numbers in metrics.jsonl, by the names that trackers have for them, as precisely as one keeps them."""
    found: Numbers = {}
    step = 0
    for line in read_events(metrics):
        if (each := figures(line, step)) is not None:
            step = each.moment.step
            for key, value in each.values.items():
                found.setdefault(key, []).append((step, kept(name, value)))
    return found


class CrashError(Exception):
    """What a run does not survive."""


def crash_at(run: Runner, step: int, options: TrainOptions | None = None) -> TrainResult:
    """Let a run break off behind a step, without a checkpoint of it."""
    tell = run.note

    def note(event: Event) -> None:
        tell(event)
        if isinstance(event, Stepped) and event.step == step:
            raise CrashError

    run.note = note  # type: ignore[method-assign]
    try:
        return run(options)
    finally:
        run.note = tell  # type: ignore[method-assign]


def test_a_run_that_breaks_off_and_goes_on_is_there_once_with_every_number(runner: MakeRunner) -> None:
    """Steps 4, 5 and 8 are trained twice: checkpoints are behind 3 and 7."""
    tracked = runner("tracked", track__to=list(TRACKERS), track__offline="true", eval__score_base="true")
    for step in (5, 8):
        with pytest.raises(CrashError):
            crash_at(tracked, step)
    tracked()
    folder = tracked.folder / "track"
    for name, read in READ.items():
        wanted = expected(tracked.folder / "metrics.jsonl", name)
        found = read(folder)
        measured = {
            "train/tokens_per_second",
            "train/memory_bytes",
            "run/seconds",
        }  # another each time that a step is trained
        assert {name: pairs for name, pairs in found.items() if name not in measured} == {
            name: pairs for name, pairs in wanted.items() if name not in measured
        }
        assert {n: [s for s, _ in found[n]] for n in measured} == {
            n: [s for s, _ in wanted[n]] for n in measured
        }
        assert len(wanted["train/loss"]) == 14
        assert {"adapter/test/bleu", "base/test/bleu", "valid/loss", "train/grad_norm"} <= wanted.keys()
    rows = rows_of_wandb(folder)
    assert rows == sorted(set(rows))
    assert len({path.name for path in folder.glob("wandb/offline-run-*/run-*.wandb")}) == 1  # the run's id

    assert not any(note.startswith(tuple(TRACKERS)) for note in tracked.notes)
    untracked = runner("untracked", eval__score_base="true")
    untracked()
    assert_equal_runs(tracked, untracked, RESULTS)
    assert not (untracked.folder / "track").exists()


def test_a_run_that_starts_over_is_another_one_there(runner: MakeRunner) -> None:
    run = runner("run", track__to=["tensorboard"], train__epochs=1)
    run()
    run(TrainOptions(resume="never"))
    found = READ["tensorboard"](run.folder / "track")
    assert found == expected(run.folder / "metrics.jsonl", "tensorboard")


def test_a_tracker_that_is_asked_for_later_gets_all_from_the_first_step(runner: MakeRunner) -> None:
    run = runner("run", train__epochs=1)
    with pytest.raises(CrashError):
        crash_at(run, 5)
    run(track__to=["tensorboard"])
    found = READ["tensorboard"](run.folder / "track")
    assert found == expected(run.folder / "metrics.jsonl", "tensorboard")


class Failing(Tracker):
    """Fails where it is told to."""

    name, extra = "failing", "failing"
    where = ""

    @classmethod
    def open(cls, run: TrackedRun) -> Self:
        assert run.folder.name == "track"
        cls._fail("open")
        return cls()

    def log(self, figures: Figures) -> None:
        if figures.moment.step == 3:
            self._fail("log")

    def close(self) -> None:
        self._fail("close")

    @classmethod
    def _fail(cls, where: str) -> None:
        if cls.where == where:
            raise RuntimeError("the server is gone")


@pytest.mark.parametrize("where", ["open", "log", "close"])
def test_a_tracker_that_fails_is_one_note(
    where: str, runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(track.TRACKERS, "failing", Failing)
    monkeypatch.setattr(Failing, "where", where)
    run = runner("run", track__to=["failing", "tensorboard"], train__epochs=1)
    run()
    (note,) = [note for note in run.notes if "failing" in note]
    assert note.endswith("the server is gone")
    found = READ["tensorboard"](run.folder / "track")
    assert found == expected(run.folder / "metrics.jsonl", "tensorboard")


def test_nobody_is_asked_to_log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    notes: list[str] = []
    run = TrackedRun(tmp_path / "track", "run", {}, "p", offline=False)
    track.Feed({"wandb": TRACKERS["wandb"]}, run, notes.append).close()
    assert len(notes) == 1
    assert "nobody is logged in there; run `wandb login`, or set track.offline=true" in notes[0]


def test_a_name_that_is_none(runner: MakeRunner) -> None:
    with pytest.raises(
        RecipeError, match=r"\[track\] to: no tracker 'tensorbord'; did you mean 'tensorboard'"
    ):
        runner("run", track__to=["tensorbord"])()


def test_a_tracker_makes_no_other_run() -> None:
    plain, tracked = open_recipe("quickstart"), open_recipe("quickstart", ['track.to=["wandb"]'])
    assert plain != tracked
    assert recipe_hash(plain) == recipe_hash(tracked)
    assert differing_keys(plain, tracked) == []


def test_without_a_wish_no_tracker_is_imported() -> None:
    code = "import sys, lorafit.track; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint(TRACKERS)
