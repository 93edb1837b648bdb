"""Several processes share out the members of a sweep, and each member is the run that it is on one process."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lorafit.run.files.paths import run_folders
from tests.conftest import recipe_overrides
from tests.support.ranks import Ended, Scenario, carry_out_all
from tests.sweep.conftest import assert_same_runs

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

GRID = ["--grid", "train.learning_rate=0.001,0.03", "--seeds", "0..1"]
LAST = "learning_rate=0.03/seed-0"  # of the second process, which has the other seed of the other rate, too


@dataclass(frozen=True)
class Outcome(Ended):
    """What the processes of one scenario left."""

    folder: Path

    def answer(self) -> dict[str, Any]:
        """Of sweep.json."""
        found: dict[str, Any] = json.loads((self.folder / "sweep.json").read_text())
        return found

    def losses(self, run: str) -> list[float]:
        """Of the steps and validations of a run."""
        lines = map(json.loads, (self.folder / run / "metrics.jsonl").read_text().splitlines())
        return [line["loss"] for line in lines if line["event"] in ("step", "validation")]


@pytest.fixture(scope="module")
def outcomes(gpt2_base: Path, e2e_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Every scenario, carried out one after the other."""
    folder = tmp_path_factory.mktemp("families")
    settings: dict[str, Any] = {"train__epochs": 2, "train__checkpoint_every": 3, "train__batch_size": 4}
    settings |= {"eval__metrics": ["bleu"]}
    common = recipe_overrides(gpt2_base, e2e_dir, **settings)

    def sweep(name: str, size: int, **signal: Any) -> Scenario:
        arguments = ("sweep", "e2e_gpt2m", *common, *GRID, "--output", str(folder / name))
        return Scenario(arguments, folder / name / LAST, size, **signal)

    def seeds(name: str, size: int) -> Scenario:
        arguments = ("train", "e2e_gpt2m", *common, "--set", "method.dropout=0", "--seeds", "0..1")
        return Scenario((*arguments, "--output", str(folder / name)), folder / name, size)

    scenarios = {
        "one": sweep("one", 1),
        "two": sweep("two", 2),
        "killed": sweep("killed", 2, signal_name="SIGKILL", to=1, after_step=4),
        "asked": sweep("killed", 2, signal_name="SIGUSR1", to=1, after_step=7),
        "alone": sweep("killed", 1),
        "seeds": seeds("seeds", 1),
        "spare": seeds("spare", 3),
    }
    ended = carry_out_all(scenarios)
    return {
        name: Outcome(**vars(ended[name]), folder=Path(scenarios[name].arguments[-1])) for name in scenarios
    }


def assert_same_sweeps(ours: Outcome, theirs: Outcome, kinds: tuple[str, ...] = ()) -> None:
    runs = [
        sorted(path.relative_to(each.folder) for path in run_folders(each.folder)) for each in (ours, theirs)
    ]
    assert runs[0] == runs[1] != []
    for run in runs[0]:
        assert_same_runs(ours.folder / run, theirs.folder / run, kinds)
    assert ours.answer() == theirs.answer()


def test_two_processes_train_half_of_the_members_each(outcomes: dict[str, Outcome]) -> None:
    one, two = outcomes["one"], outcomes["two"]
    assert (one.codes, two.codes) == ([0], [0, 0]), two.err
    assert_same_sweeps(two, one)
    assert "2 processes share 4 runs, and each trains its own" in two.out[0]
    assert two.out[1] == "".join(two.err) == ""
    assert all((run / "report.html").is_file() for run in run_folders(two.folder))


def test_when_one_dies_the_members_of_the_other_are_whole(outcomes: dict[str, Outcome]) -> None:
    killed, asked = outcomes["killed"], outcomes["asked"]
    assert killed.codes == [1, -9]
    assert "another process of this run has ended" in killed.err[0]
    assert "Traceback" not in killed.err[0]
    assert "learning_rate = 0.001, seed 1: resumed from" in asked.out[0]
    assert "learning_rate = 0.001, seed 0" not in asked.out[0]


def test_one_is_asked_to_stop_and_a_single_process_goes_on(outcomes: dict[str, Outcome]) -> None:
    asked, alone = outcomes["asked"], outcomes["alone"]
    assert asked.codes == [75, 75], asked.err
    assert "learning_rate=0.03/seed-0: stopped after step" in asked.err[0]
    assert asked.err[1] == ""
    assert alone.codes == [0]
    assert_same_sweeps(alone, outcomes["one"], ("step", "validation", "score", "finished"))


def test_processes_to_spare_share_the_rows_of_a_run(outcomes: dict[str, Outcome]) -> None:
    spare, one = outcomes["spare"], outcomes["seeds"]
    assert spare.codes == [0, 0, 0], spare.err
    assert "3 processes share 2 runs; those of one run share its rows" in spare.out[0]
    for run in ("seed-0", "seed-1"):
        assert spare.losses(run) == pytest.approx(one.losses(run), rel=1e-5)
