"""Several processes share out the runs of a table, and each run is the one that a single process makes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.ranks import Ended, Scenario, carry_out_all

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

QUICK = (
    "repro",
    "table3",
    "--quick",
    "--rows",
    "GPT-2 M (LoRA),GPT-2 M (FT)",
    "--set",
    "eval.metrics=['bleu']",
)
LONGER = ("--set", "train.max_steps=40", "--set", "train.epochs=20")
RECIPES = ("e2e_gpt2m_ft", "e2e_gpt2m")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Ended]]:
    """Every scenario with its folder, carried out one after the other."""
    folder = tmp_path_factory.mktemp("tables")

    def scenario(name: str, size: int, *more: str, **signal: str | int) -> Scenario:
        arguments = (*QUICK, "--seeds", "0,1", *more, "--output", str(folder / name))
        return Scenario(arguments, folder / name / "e2e_gpt2m" / "seed-0", size, **signal)  # type: ignore[arg-type]

    scenarios = {
        "one": scenario("one", 1),
        "two": scenario("two", 2),
        "faulty": scenario("faulty", 2, "--set", "data.train=/nowhere.txt"),
        "whole": scenario("whole", 1, *LONGER),
        "asked": scenario("parts", 2, *LONGER, signal_name="SIGUSR1", to=1, after_step=5),
        "again": scenario("parts", 1, *LONGER),
    }
    found = carry_out_all(scenarios)
    return {name: (Path(each.arguments[-1]), found[name]) for name, each in scenarios.items()}


def adapters(folder: Path) -> list[bytes]:
    """The tensors of all four runs."""
    runs = [folder / name / f"seed-{seed}" for name in RECIPES for seed in (0, 1)]
    return [(run / "adapter" / "adapter.safetensors").read_bytes() for run in runs]


def test_each_makes_half_of_the_runs_and_the_first_shows_the_table(
    ended: dict[str, tuple[Path, Ended]],
) -> None:
    (one_dir, one), (two_dir, two) = ended["one"], ended["two"]
    assert (one.codes, two.codes) == ([0], [0, 0]), two.err
    assert adapters(two_dir) == adapters(one_dir)
    said = two.out[0]
    assert "2 processes share 4 runs, and each makes its own" in said
    assert all(f"done: {name} seed {seed}" in said for name in RECIPES for seed in (0, 1))
    assert said.count("\n4 done\n") == 1
    table = said[said.index("Table 3") : said.index("page:")]
    assert table == one.out[0][one.out[0].index("Table 3") : one.out[0].index("page:")]
    assert two.out[1] == "".join(two.err) == ""


def test_what_fails_in_any_of_them_is_told_once(ended: dict[str, tuple[Path, Ended]]) -> None:
    _, faulty = ended["faulty"]
    assert faulty.codes == [3, 3]
    assert faulty.out[0].count("failed: ") == 4
    assert "\n4 failed\n" in faulty.out[0]
    assert faulty.out[1] == "".join(faulty.err) == ""


def test_one_is_asked_to_stop_and_a_single_process_goes_on(ended: dict[str, tuple[Path, Ended]]) -> None:
    (_, asked), (parts, again), (whole, _) = ended["asked"], ended["again"], ended["whole"]
    assert asked.codes == [75, 75], asked.err
    assert asked.err == ["error: interrupted (SIGUSR1); run the same command again to continue\n", ""]
    assert again.codes == [0]
    assert "2 finished before, 2 done" in again.out[0], "the other process had finished its own"
    assert adapters(parts) == adapters(whole)
