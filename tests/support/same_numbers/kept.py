"""Folders that the program wrote when format version 1 was current, committed as they were, and what it makes of them.

Laws: an adapter of version 1 stays readable; a finished run is shown, not run again; an unfinished one is resumed to
the recorded result or refused in one line, and never misread, begun anew or deleted.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.support.ranks import Scenario, carry_out_all
from tests.support.same_numbers.facts import Facts, flat_numbers
from tests.support.same_numbers.place import Outcome, Place, Recipe, add_predictions, run_facts, tensors_of
from tests.support.same_numbers.recipes import LORA, label, text

KEPT = Path(__file__).resolve().parents[2] / "assets" / "same_numbers" / "kept"

_SMALL: dict[str, Any] = LORA | {"r": 1, "alpha": 4}
_LONG: dict[str, Any] = {"train__epochs": 5, "train__keep_checkpoints": 1}

ADAPTERS: dict[str, Recipe] = {"kept_text": text(_SMALL), "kept_label": label(_SMALL, "bert", "rte")}
FINISHED: dict[str, Recipe] = {"kept_finished": text(_SMALL, train__keep_checkpoints=1)}
UNFINISHED: dict[str, Recipe] = {
    "kept_unfinished": text(_SMALL, **_LONG),
    "kept_unfinished_dropout": label(_SMALL | {"dropout": 0.2}, **_LONG, model__dropout=0.1),
}


def make_kept(place: Place) -> None:
    """Write the folders with the program of today."""
    for name, recipe in ADAPTERS.items():
        shutil.copytree(place.root / place.trained(name, recipe) / "adapter", KEPT / name)
    for name, recipe in FINISHED.items():
        shutil.copytree(place.root / place.trained(name, recipe), KEPT / name)
    scenarios = {}
    for name, recipe in UNFINISHED.items():
        run = f"out/{name}"
        arguments = ("train", place.write_recipe(name, recipe), "--output", run)
        scenarios[name] = Scenario(arguments, Path(run), signal_name="SIGUSR1", after_step=4)
    for name, ended in carry_out_all(scenarios, place.root).items():
        assert ended.codes == [75], ended
        shutil.copytree(place.root / "out" / name, KEPT / name)


def put(name: str, place: Place) -> str:
    """A copy of a kept folder in the place of work."""
    target = place.root / "kept" / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(KEPT / name, target)
    return str(target.relative_to(place.root))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_adapter(name: str, place: Place) -> Facts:
    """verify, eval and merge."""
    recipe, adapter = ADAPTERS[name], put(name, place)
    place.make_base(recipe["model"]["base"])
    verdict = place.json("verify", adapter)
    split, output = ("test" if "decode" in recipe else "valid"), f"out/eval-{name}"
    scores = place.json("eval", adapter, "--split", split, "--output", output, *_metrics(recipe))
    place.ok("merge", adapter, f"out/merged-{name}")
    facts = Facts(tensors=tensors_of(place.root / f"out/merged-{name}"))
    facts.numbers = flat_numbers("score", scores["scores"])
    facts.exact["verdict"] = verdict["verdict"]
    add_predictions(facts, place.root / output / "predictions.jsonl")
    return facts


def _metrics(recipe: Recipe) -> list[str]:
    return [part for name in recipe.get("eval", {}).get("metrics", ()) for part in ("--metric", name)]


def show_finished(name: str, place: Place) -> Facts:
    """The same command again."""
    recipe, run = FINISHED[name], put(name, place)
    path, before = place.write_recipe(name, recipe), contents(place.root / run)
    result = place.json("train", path, "--output", run)
    assert contents(place.root / run) == before, "a finished run was changed"
    facts = run_facts(place.root / run)
    facts.exact["already_finished"] = result["already_finished"]
    facts.numbers |= flat_numbers("shown", result["scores"])
    return facts


def go_on(name: str, place: Place) -> tuple[str, Outcome]:
    """The run folder, and how the same command again ended."""
    run = put(name, place)
    return run, place.lorafit("train", place.write_recipe(name, UNFINISHED[name]), "--output", run)


def resumed(name: str, place: Place) -> Facts:
    """What an unfinished run came to."""
    run, outcome = go_on(name, place)
    assert outcome.code == 0, outcome
    return run_facts(place.root / run)


def uninterrupted(name: str, place: Place) -> Facts:
    """What it would have come to if nobody had stopped it."""
    return run_facts(place.root / place.trained(f"{name}_whole", UNFINISHED[name]))


def first_lines(run: Path) -> list[str]:
    """Of the event log: the steps that lie before the checkpoint, with the speed that was measured."""
    [checkpoint] = (run / "checkpoints").glob("step-*")
    num_bytes = json.loads((checkpoint / "progress.json").read_text())["metrics_bytes"]
    return (run / "metrics.jsonl").read_bytes()[:num_bytes].decode().splitlines()
