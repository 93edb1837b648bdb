"""Runs at a glance, and all about one run, adapter or recipe."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.display.scores import show_scores
from lorafit.files import JsonObject
from lorafit.format import age, duration, number, size
from lorafit.recipe import to_toml

if TYPE_CHECKING:
    from lorafit.run.files.summary import RunSummary
    from lorafit.verbs.show import ShownAdapter, ShownRecipe, ShownRun

_COLOURS = {
    "finished": "green",
    "running": "cyan",
    "stopped": "yellow",
    "begun": "yellow",
    "diverged": "red",
    "damaged": "red",
}


def show_runs(display: Display, runs: Sequence[tuple[RunSummary, str]]) -> None:
    """A line for each run, and below them what goes on with those that are not finished."""
    if display.json:
        display.print_json([_summary_json(run) | {"next": command} for run, command in runs])
        return
    if not runs:
        display.print("no run matches")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "state", "step", "score", "value", "bare base", "validation", "age", "size"):
        table.add_column(name, justify="right" if name in ("step", "age", "size") else "left")
    for run, _ in runs:
        state = f"[{_COLOURS[run.state]}]{run.state}[/]"
        score = (run.score_name or "", _known(run.score), _known(run.base_score), _known(run.loss))
        table.add_row(
            escape(str(run.path)),
            state,
            _steps(run),
            *map(escape, score),
            age(run.age_s),
            size(run.num_bytes),
        )
    display.print_wide(table)
    total = size(sum(run.num_bytes for run, _ in runs))
    display.print(f"\n{len(runs):,} run{'s' * (len(runs) != 1)}, {total} together")
    for run, command in runs:
        if run.state in ("stopped", "begun"):
            display.print(f"go on: {escape(command)}")
        if run.holder:
            display.print(f"{escape(str(run.path))}: {escape(run.holder)} works on it")
        if run.fault:
            display.print(f"{escape(str(run.path))}: {run.state}: {escape(run.fault)}", style="red")


def question(runs: Sequence[RunSummary]) -> str:
    """What is asked before runs are deleted."""
    lines = [f"{run.path} ({run.state}, {size(run.num_bytes)}, {age(run.age_s)} old)" for run in runs]
    return "\n".join([*lines, f"Delete {'it' if len(runs) == 1 else f'these {len(runs)} runs'} for good?"])


def show_removed(display: Display, runs: Sequence[RunSummary]) -> None:
    """What is gone."""
    if display.json:
        display.print_json([{"run": str(run.path), "bytes": run.num_bytes} for run in runs])
        return
    for run in runs:
        display.print(f"deleted {escape(str(run.path))} ({size(run.num_bytes)})")


def show_run(display: Display, shown: ShownRun, command: str) -> None:
    """State, what was trained on what, scores, and what goes on."""
    run = shown.summary
    if display.json:
        display.print_json(_run_json(shown, command))
        return
    best = shown.best
    facts = {
        "run": run.path,
        "state": run.state + (f", {run.holder} works on it" if run.holder else ""),
        "reason": run.fault,
        "recipe": run.name,
        "base": run.base + (f" ({shown.dtype})" if shown.dtype else ""),
        "method": _options(run.recipe.get("method", {})),
        "task": run.task,
        "seed": run.seed,
        "steps": _steps(run),
        "best epoch": best
        and f"{best['epoch']} (step {best.get('step', '?')}): validation loss {number(best['loss'])}",
        "time": shown.seconds and duration(shown.seconds),
        "last written": f"{age(run.age_s)} ago",
        "size": size(run.num_bytes),
        **{name: _input(each) for name, each in shown.inputs.items()},
        "predictions": ", ".join(map(str, shown.predictions)),
    }
    _show_facts(display, facts)
    _show_changes(display, "changed from the shipped recipe", shown.changed)
    show_scores(display, shown.scores, run.recipe.get("paper", {}).get("scores", {}))
    _show_next(display, command)


def show_adapter(display: Display, shown: ShownAdapter, command: str) -> None:
    """What the card says, and the tensors."""
    card, made = shown.card, shown.card.get("provenance", {})
    if display.json:
        tensors = {name: list(shape) for name, shape in shown.shapes.items()}
        display.print_json(
            {
                "adapter": str(shown.folder),
                "card": card,
                "tensors": tensors,
                "values": shown.num_values,
                "next": command,
            }
        )
        return
    base = card.get("base", {})
    facts = {
        "adapter": shown.folder,
        "base": " in ".join(filter(None, (base.get("id"), base.get("quantize")))),
        "base weights": f"sha256 {base['weights_hash']}" if base.get("weights_hash") else "not recorded",
        "method": _options(card.get("method", {})),
        "task": _options(card.get("task", {})),
        "tensors": f"{len(shown.shapes):,} with {shown.num_values:,} values",
        "size": size(shown.num_bytes),
        **{name: value for name, value in made.items() if not isinstance(value, dict)},
        **{f"data.{split}": f"sha256 {sha256}" for split, sha256 in made.get("data", {}).items()},
    }
    _show_facts(display, facts)
    show_scores(display, card, {})
    _show_next(display, command)


def show_recipe(display: Display, shown: ShownRecipe, name: str) -> None:
    """Where it is, what it stands for, what it says, and which runs it has."""
    recipe, paper = shown.recipe, shown.recipe.paper
    if display.json:
        value = {"recipe": recipe.model_dump(mode="json"), "path": str(shown.path), "changed": shown.changed}
        display.print_json({**value, "runs": [_summary_json(run) for run in shown.runs]})
        return
    facts = {
        "recipe": recipe.name,
        "file": shown.path,
        "stands for": f"Table {paper.table}: {paper.row}" if paper.table else "",
        "published": "  ".join(f"{key} {number(value)}" for key, value in paper.scores.items()),
    }
    _show_facts(display, facts)
    _show_changes(display, "changed from the recipe that it extends", shown.changed)
    display.print(f"\n{escape(to_toml(recipe))}")
    for run in shown.runs:
        score = f", {run.score_name} {number(run.score)}" if run.score_name else ""
        display.print(f"run: {escape(str(run.path))} ({run.state}{score}, {age(run.age_s)} old)")
    _show_next(display, shlex.join(["lorafit", "train", name]))


def _show_facts(display: Display, facts: Mapping[str, object]) -> None:
    """`name:  value` for everything that there is."""
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        if value not in (None, "", {}):
            display.print(f"[bold]{f'{name}:':<{width}}[/]{escape(str(value))}")


def _show_changes(display: Display, what: str, changed: Iterable[str]) -> None:
    for change in changed:
        display.print(f"{what}: {escape(change)}")


def _show_next(display: Display, command: str) -> None:
    if command:
        display.print(f"\nnext: {escape(command)}")


def _options(section: Mapping[str, object]) -> str:
    """lora: r 8, alpha 32.0, …"""
    rest = [f"{key} {_plain(value)}" for key, value in section.items() if key != "name" and value is not None]
    return f"{section.get('name', '')}: {', '.join(rest)}".removesuffix(": ")


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return repr(value) if isinstance(value, str) and value.split() != [value] else str(value)


def _input(value: JsonObject) -> str:
    return f"{value['where']} (sha256 {value['sha256'][:12]}…)".removeprefix(" ")


def _known(value: float | None) -> str:
    return "" if value is None else number(value)


def _steps(run: RunSummary) -> str:
    """As far as they are known: 282 of 376."""
    done = f"{run.step or 0:,}"
    return done if run.num_steps in (None, run.step) else f"{done} of {run.num_steps:,}"


def _summary_json(run: RunSummary) -> JsonObject:
    known = {
        name: value for name, value in vars(run).items() if name not in ("path", "recipe", "fault", "name")
    }
    return {"run": str(run.path), "recipe": run.name, **known, "age_s": run.age_s, "fault": run.fault or None}


def _run_json(shown: ShownRun, command: str) -> JsonObject:
    return {
        **_summary_json(shown.summary),
        "scores": shown.scores,
        "best": shown.best or None,
        "inputs": shown.inputs,
        "seconds": shown.seconds,
        "changed": shown.changed,
        "predictions": list(map(str, shown.predictions)),
        "next": command,
    }
