"""Two processes come to what one comes to; none of them is left waiting when the other ends."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import recipe_overrides
from tests.support.ranks import Ended, Scenario, carry_out_all

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@dataclass(frozen=True)
class Outcome(Ended):
    """What the processes of one scenario left."""

    folder: Path

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Those lines of metrics.jsonl."""
        lines = map(json.loads, (self.folder / "metrics.jsonl").read_text().splitlines())
        return [line for line in lines if line["event"] == kind]

    def losses(self) -> list[float]:
        """Of steps and validations."""
        return [line["loss"] for kind in ("step", "validation") for line in self.events(kind)]

    def predictions(self) -> list[dict[str, Any]]:
        """Of the test split."""
        return [
            json.loads(line) for line in (self.folder / "predictions/test.jsonl").read_text().splitlines()
        ]


@pytest.fixture(scope="module")
def outcomes(gpt2_base: Path, e2e_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Every scenario, carried out one after the other."""
    folder = tmp_path_factory.mktemp("ranks")
    settings: dict[str, Any] = {
        "train__epochs": 3,
        "train__checkpoint_every": 5,
        "train__batch_size": 5,
        "train__micro_batch_size": 2,
    }
    settings |= {"eval__metrics": ["bleu"], "eval__batch_size": 1, "eval__score_base": "true"}
    common = recipe_overrides(gpt2_base, e2e_dir, method__dropout=0.0, **settings)

    def scenario(name: str, size: int, *more: str, **signal: Any) -> Scenario:
        arguments = ("train", "e2e_gpt2m", *common, *more, "--output", str(folder / name))
        return Scenario(arguments, folder / name, size, **signal)

    def mixed(name: str, size: int) -> Scenario:
        """Two files with weights, in batches of so many tokens that some have fewer examples than processes."""
        files = [str(e2e_dir / "train.txt"), str(e2e_dir / "valid.txt")]
        keys = {
            "data__train": files,
            "data__weights": [1, 0.5],
            "train__batch_tokens": 60,
            "train__max_steps": 12,
        }
        chosen = recipe_overrides(gpt2_base, e2e_dir, method__dropout=0.0, eval__metrics=["bleu"], **keys)
        left_out = ["--unset", "train.batch_size", "--unset", "train.last_batch", "--unset", "train.epochs"]
        arguments = ("train", "e2e_gpt2m", *chosen, *left_out, "--output", str(folder / name))
        return Scenario(arguments, folder / name, size)

    scenarios = {
        "one": scenario("one", 1),
        "ddp": scenario("ddp", 2),
        "fsdp": scenario("fsdp", 2, "--set", "train.parallel=fsdp"),
        "killed": scenario("killed", 2, signal_name="SIGKILL", to=1, after_step=8),
        "resumed": scenario("killed", 2),
        "asked": scenario("asked", 2, signal_name="SIGUSR1", to=1, after_step=3),
        "alone": scenario("asked", 1),
        "mixed": mixed("mixed", 1),
        "mixed_ddp": mixed("mixed_ddp", 2),
        "mistaken": scenario("mistaken", 2, "--set", "model.base=nowhere/at/all"),
    }
    ended = carry_out_all(scenarios)
    return {name: Outcome(**vars(ended[name]), folder=scenarios[name].run) for name in scenarios}


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one(outcomes: dict[str, Outcome], name: str) -> None:
    one, two = outcomes["one"], outcomes[name]
    assert one.codes == [0]
    assert two.codes == [0, 0], two.err
    assert two.losses() == pytest.approx(one.losses(), rel=1e-5)
    assert [line["step"] for line in two.events("step")] == list(range(1, 19))
    assert [line["num_targets"] for line in two.events("step")] == [
        line["num_targets"] for line in one.events("step")
    ]


def test_files_with_weights_and_batches_of_tokens_are_the_same_on_two_processes(
    outcomes: dict[str, Outcome],
) -> None:
    one, two = outcomes["mixed"], outcomes["mixed_ddp"]
    assert (one.codes, two.codes) == ([0], [0, 0]), one.err + two.err
    assert two.losses() == pytest.approx(one.losses(), rel=1e-5)
    assert len(two.events("step")) == 12


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_no_prediction_is_lost_or_doubled(outcomes: dict[str, Outcome], name: str) -> None:
    theirs, ours = outcomes["one"].predictions(), outcomes[name].predictions()
    losses = [[line.pop("loss") for line in lines] for lines in (theirs, ours)]
    assert ours == theirs
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for who in ("base", "adapter"):
        scores = [
            [e["scores"] for e in outcomes[n].events("score") if e["model"] == who] for n in ("one", name)
        ]
        assert scores[0] == scores[1] != []


def test_only_the_first_process_speaks(outcomes: dict[str, Outcome]) -> None:
    assert "finished after 18 steps" in outcomes["ddp"].out[0]
    assert outcomes["ddp"].out[1] == ""
    assert outcomes["ddp"].err == ["", ""]


def test_when_one_dies_the_other_ends_with_a_clear_message_and_the_run_goes_on(
    outcomes: dict[str, Outcome],
) -> None:
    killed, resumed = outcomes["killed"], outcomes["resumed"]
    assert killed.codes == [1, -9]
    assert killed.seconds < 30
    assert "another process of this run has ended" in killed.err[0]
    assert "Traceback" not in killed.err[0]
    assert resumed.codes == [0, 0], resumed.err
    assert "resumed from" in resumed.out[0]
    assert resumed.losses() == outcomes["ddp"].losses()
    assert resumed.predictions() == outcomes["ddp"].predictions()


def test_one_is_asked_to_stop_and_all_stop_and_one_alone_goes_on(outcomes: dict[str, Outcome]) -> None:
    asked, alone = outcomes["asked"], outcomes["alone"]
    assert asked.codes == [75, 75], asked.err
    assert "another process was asked to stop" in asked.err[0]
    assert asked.err[1] == ""
    assert alone.codes == [0]
    assert "the run was on 2 processes and is on 1 now" in alone.out[0]
    assert alone.losses() == pytest.approx(outcomes["one"].losses(), rel=1e-5)


def test_a_mistake_is_told_once(outcomes: dict[str, Outcome]) -> None:
    mistaken = outcomes["mistaken"]
    assert mistaken.codes == [3, 3]
    assert mistaken.err[0].startswith("error: nowhere/at/all")
    assert mistaken.err[1] == ""
