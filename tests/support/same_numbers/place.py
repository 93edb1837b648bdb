"""A folder with bases, data and recipes, and the program working in it: through its command line and files alone."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lorafit.__main__ import main
from tests.support.ranks import Ended, Scenario, carry_out_all
from tests.support.same_numbers import bases, rows
from tests.support.same_numbers.facts import Facts, flat_numbers

Recipe = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Place:
    """`root` is the working folder of every command, so that no path in a recipe or adapter depends on the machine."""

    root: Path
    _trained: set[str] = field(default_factory=set)
    _ended: dict[str, Ended] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows.write_all(self.root / "data")

    def lorafit(self, *arguments: object) -> Outcome:
        """The command, in this process."""
        out, err, code = io.StringIO(), io.StringIO(), 0
        torch.set_num_threads(1)
        with (
            self._inside("lorafit", *map(str, arguments)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        return Outcome(code, out.getvalue(), err.getvalue())

    def ok(self, *arguments: object) -> str:
        """The command's output; it must succeed."""
        done = self.lorafit(*arguments)
        assert done.code == 0, (
            f"lorafit {' '.join(map(str, arguments))}: exit {done.code}\n{done.out}\n{done.err}"
        )
        return done.out

    def json(self, *arguments: object) -> Any:
        """The command's output with --json."""
        return json.loads(self.ok(*arguments, "--json"))

    def write_recipe(self, name: str, recipe: Recipe) -> str:
        """Returns its path from `root`; the base that it names is made."""
        lines = []
        for section, table in recipe.items():
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        path = self.root / "recipes" / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        self.make_base(recipe["model"]["base"])
        return str(path.relative_to(self.root))

    def make_base(self, base: str) -> None:
        """`bases/<model type>`, if it is not there."""
        if not (self.root / base).is_dir():
            bases.save_base(self.root / base, Path(base).name)

    def trained(self, name: str, recipe: Recipe) -> str:
        """The run folder of a recipe, trained if it is not yet."""
        path, run = self.write_recipe(name, recipe), f"out/{name}"
        if name not in self._trained:
            self.ok("train", path, "--output", run)
            self._trained.add(name)
        return run

    def in_processes(self, recipes: Mapping[str, Recipe], interrupted: Mapping[str, str]) -> dict[str, Ended]:
        """Every recipe in two processes (out/<name>-two); those of `interrupted` also in one that is cut off by a
        signal, and in one that goes on from there (out/<name>-resumed).

        Keys: <name>-two, <name>-interrupted, <name>-resumed. Done once.
        """
        scenarios: dict[str, Scenario] = {}
        for name, recipe in recipes.items():
            train, two, again = (
                ("train", self.write_recipe(name, recipe), "--output"),
                Path(f"out/{name}-two"),
                Path(f"out/{name}-resumed"),
            )
            scenarios[f"{name}-two"] = Scenario((*train, str(two)), two, size=2)
            if name in interrupted:
                cut_off = Scenario((*train, str(again)), again, signal_name=interrupted[name], after_step=4)
                scenarios |= {
                    f"{name}-interrupted": cut_off,
                    f"{name}-resumed": replace(cut_off, signal_name=""),
                }
        missing = {name: scenario for name, scenario in scenarios.items() if name not in self._ended}
        with self._inside():
            self._ended |= carry_out_all(missing, self.root)
        return self._ended

    @contextlib.contextmanager
    def _inside(self, *argv: str) -> Iterator[None]:
        """As if the program had been started here, with a cache of its own."""
        before, cache = sys.argv, os.environ.get("XDG_CACHE_HOME")
        sys.argv, os.environ["XDG_CACHE_HOME"] = [*argv], str(self.root / "cache")
        try:
            with contextlib.chdir(self.root):
                yield
        finally:
            sys.argv = before
            os.environ.pop("XDG_CACHE_HOME")
            if cache is not None:
                os.environ["XDG_CACHE_HOME"] = cache


def run_facts(run: Path) -> Facts:
    """All that a finished run computed: losses, adapters, the model's answers, predictions, scores."""
    facts = event_facts(run / "metrics.jsonl")
    for folder in ("adapter", "adapter-last"):
        tensors = load_file(run / folder / "adapter.safetensors")
        facts.tensors |= {f"{folder}/{name}": tensor for name, tensor in tensors.items()}
    answers = load_file(run / "adapter" / "fingerprint.safetensors")
    facts.exact["fingerprint.input_ids"] = answers["input_ids"].tolist()
    facts.tensors |= {f"fingerprint/{name}": answers[name] for name in ("trained", "base")}
    for path in sorted((run / "predictions").iterdir()):
        add_predictions(facts, path)
    facts.numbers |= flat_numbers("score", json.loads((run / "scores.json").read_text())["scores"])
    return facts


def event_facts(path: Path) -> Facts:
    """Of metrics.jsonl: what was computed, not how fast."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    validations = [event for event in events if event["event"] == "validation"]
    facts = Facts()
    for key in ("loss", "learning_rate", "padding"):
        facts.numbers[f"step.{key}"] = [step[key] for step in steps]
    for key in ("step", "num_targets"):
        facts.exact[f"step.{key}"] = [step[key] for step in steps]
    facts.numbers["validation.loss"] = [each["loss"] for each in validations]
    for key in ("epoch", "step", "best"):
        facts.exact[f"validation.{key}"] = [each[key] for each in validations]
    for each in validations:
        facts.numbers |= flat_numbers(f"validation.{each['epoch']}", each.get("scores", {}))
    for event in events:
        if event["event"] == "score" and event["model"] == "base":
            facts.numbers |= flat_numbers("base_score", event["scores"])
    return facts


def add_predictions(facts: Facts, path: Path) -> None:
    """A file of predictions: texts and labels must be equal everywhere, scores are numbers."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    is_score = any(isinstance(line["prediction"], float) for line in lines)
    if is_score:
        facts.numbers[f"predictions.{path.stem}"] = [line.pop("prediction") for line in lines]
    kept = ("input", "references", "label", "part", "prediction")
    facts.exact[f"predictions.{path.stem}"] = [{k: line[k] for k in kept if k in line} for line in lines]


def plan_facts(plan: Mapping[str, Any]) -> Facts:
    """Of `train --dry-run --json`: the recipe's values, and counts."""
    facts = Facts(exact={key: plan[key] for key in _COUNTS})
    facts.exact["parameters"] = [[part[key] for key in _PARAMETERS] for part in plan["parameters"]]
    return facts


_COUNTS = (
    "trainable",
    "head",
    "training_only",
    "total",
    "train_rows",
    "train_rows_counted",
    "steps",
    "warmup_steps",
)
_PARAMETERS = ("name", "count", "shape", "num_values", "trained")


def tensors_of(folder: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Every tensor in the safetensors files of a folder."""
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors if names is None else {name: tensors[name] for name in names}
