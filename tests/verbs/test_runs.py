"""Runs at a glance: what each says of itself, which are chosen, and away with some."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorafit.errors import LorafitError, NotFoundError, RecipeError
from lorafit.run.files.lock import locked
from lorafit.run.files.summary import RunSummary, summarize
from lorafit.verbs.runs import SORTS, Filter, removable, remove, runs
from tests.support.run_folders import e2e_scores, write_run
from tests.support.terminal import Terminal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two finished runs of E2E, one that has stopped and one that has hardly begun."""
    root = tmp_path / "runs"
    write_run(root, "e2e_gpt2m", 0, e2e_scores(70.0), loss=1.2)
    write_run(root, "e2e_gpt2m", 1, e2e_scores(68.5))
    stopped = write_run(root, "rte_roberta_base", 0, None) / "checkpoints" / "step-20"
    stopped.mkdir(parents=True)
    (stopped / "progress.json").write_text(json.dumps({"num_steps": 90}))
    write_run(root, "dart_gpt2m", 0, None)
    return root


def names(found: list[RunSummary]) -> list[str]:
    return [f"{run.name}/{run.seed}" for run in found]


def test_what_each_run_says(root: Path) -> None:
    by_name = {f"{run.name}/{run.seed}": run for run in runs(root)}
    best = by_name["e2e_gpt2m/0"]
    assert (best.state, best.score_name, best.score, best.loss) == ("finished", "bleu", 70.0, 1.2)
    stopped, begun = by_name["rte_roberta_base/0"], by_name["dart_gpt2m/0"]
    assert (stopped.state, stopped.num_steps, stopped.score) == ("stopped", 90, None)
    assert (begun.state, begun.num_steps) == ("begun", None)
    files = [path for path in best.path.rglob("*") if path.is_file()]
    assert best.num_bytes == sum(path.stat().st_size for path in files)
    assert best.changed == max(path.stat().st_mtime for path in files)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(state="finished"), ["e2e_gpt2m/0", "e2e_gpt2m/1"]),
        (Filter(state="stopped"), ["rte_roberta_base/0"]),
        (Filter(task="rte"), ["rte_roberta_base/0"]),
        (Filter(recipe="GPT2M"), ["dart_gpt2m/0", "e2e_gpt2m/0", "e2e_gpt2m/1"]),
        (Filter(base="roberta"), ["rte_roberta_base/0"]),
        (Filter(method="full"), []),
    ],
)
def test_filters(root: Path, wanted: Filter, expected: list[str]) -> None:
    assert names(runs(root, wanted)) == expected


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_has_every_run_once(root: Path, sort: str) -> None:
    assert sorted(names(runs(root, sort=sort))) == names(runs(root))


def test_the_best_score_comes_first_and_less_may_be_better(root: Path) -> None:
    assert names(runs(root, sort="score"))[:2] == ["e2e_gpt2m/0", "e2e_gpt2m/1"]
    for seed, value in ((0, 9.0), (1, 8.0)):
        document = {"scores": {"perplexity": value}}
        (root / "e2e_gpt2m" / f"seed-{seed}" / "scores.json").write_text(json.dumps(document))
    assert names(runs(root, sort="score"))[:2] == ["e2e_gpt2m/1", "e2e_gpt2m/0"]


def test_a_damaged_run_is_listed_and_named(root: Path) -> None:
    (root / "e2e_gpt2m" / "seed-0" / "scores.json").write_text("[]")
    (damaged,) = runs(root, Filter(state="damaged"))
    assert damaged.fault == "scores.json is not a JSON object"


def test_a_run_that_diverged_says_why_and_offers_nothing(cli, root: Path) -> None:
    run, reason = root / "rte_roberta_base" / "seed-0", "step 7: the loss is nan"
    (run / "diverged.json").write_text(json.dumps({"reason": reason}))
    (found,) = runs(root, Filter(state="diverged"))
    assert (found.path, found.fault) == (run, reason)
    text = cli("runs", root).stdout.splitlines()
    assert f"{run}: diverged: {reason}" in text
    assert not any(line.startswith(f"go on: lorafit train {run}") for line in text)
    (listed,) = json.loads(cli("runs", root, "--state", "diverged", "--json").stdout)
    assert (listed["state"], listed["fault"], listed["next"]) == ("diverged", reason, "")
    shown = [line.split(":", 1) for line in cli("show", run).stdout.splitlines() if ":" in line]
    told = {name: value.strip() for name, value in shown}
    assert (told["state"], told["reason"], "next" in told) == ("diverged", reason, False)


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder of runs"):
        runs(tmp_path / "runs")


def test_a_run_that_trains_is_running_and_is_not_removed(root: Path) -> None:
    run = root / "rte_roberta_base" / "seed-0"
    with locked(run):
        assert summarize(run).state == "running"
        with pytest.raises(RecipeError, match="works on this run"):
            removable([run])
        with pytest.raises(LorafitError, match="works on this run"):
            remove(summarize(run))  # begun between the question and the answer
    assert summarize(run).state == "stopped"
    assert (run / "checkpoints").is_dir()


def test_what_is_removed_is_gone_and_nothing_else(root: Path) -> None:
    first, other = root / "e2e_gpt2m" / "seed-0", root / "dart_gpt2m" / "seed-0"
    for run in removable([first, other, first]):
        remove(run)
    assert names(runs(root)) == ["e2e_gpt2m/1", "rte_roberta_base/0"]
    assert not other.parent.exists()
    assert first.parent.is_dir()


def test_only_run_folders_are_removed(root: Path) -> None:
    with pytest.raises(RecipeError, match="is no run folder") as caught:
        removable([root, root / "e2e_gpt2m" / "seed-7", root / "e2e_gpt2m" / "seed-0"])
    assert len(caught.value.parts) == 2


def test_the_command_lists_and_says_how_to_go_on(cli, root: Path) -> None:
    text = cli("runs", root).stdout
    run = root / "rte_roberta_base" / "seed-0"
    assert f"go on: lorafit train {run}/recipe.toml --output {run}" in text.splitlines()
    found = json.loads(cli("runs", root, "--sort", "score", "--reverse", "--json").stdout)
    assert [run["score"] for run in found][-1] == 70.0
    assert "did you mean 'stopped'" in cli("runs", root, "--state", "stoped", code=2).stderr


def test_the_usual_folder_is_not_named(cli, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    assert "go on: lorafit train runs/rte_roberta_base/seed-0/recipe.toml\n" in cli("runs").stdout


def test_removing_asks_on_a_terminal_and_needs_a_word_elsewhere(cli, root: Path) -> None:
    run = root / "dart_gpt2m" / "seed-0"
    assert "use --yes" in cli("runs", "rm", run, code=2).stderr
    with Terminal("runs", "rm", str(run)) as terminal:
        terminal.expect("Delete it for good?")
        terminal.send("n\n")
        assert terminal.wait() == 1
    assert run.is_dir()
    with Terminal("runs", "rm", str(run)) as terminal:
        terminal.expect("Delete it for good?")
        terminal.send("y\n")
        terminal.expect(f"deleted {run}")
        assert terminal.wait() == 0
    assert not run.exists()
    (gone,) = json.loads(cli("runs", "rm", root / "e2e_gpt2m" / "seed-1", "--yes", "--json").stdout)
    assert gone["run"].endswith("seed-1")
