"""The page of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lorafit.files import write_text
from lorafit.format import duration, number, short
from lorafit.page.answers import answers, confusion
from lorafit.page.curves import curves
from lorafit.page.render import render
from lorafit.page.run import PAGE, Run, read_run
from lorafit.page.scores import ScoreTable, score_table
from lorafit.page.settings import settings
from lorafit.recipe.layers import PATHS_FROM
from lorafit.version import __version__

_SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class KeyFigure:
    """One of the few large figures at the top."""

    name: str
    value: str
    beside: str = ""


@dataclass(frozen=True)
class SplitFacts:
    """What the run used of a split; `count` is None where an earlier lorafit did not log it."""

    name: str
    count: int | None
    where: str
    sha256: str


def write_run_page(folder: Path, output: Path | None = None) -> Path:
    """Write the page of a run folder, report.html in it unless said otherwise. Returns where it is.

    Raises DataError for files that are not what a run leaves.
    """
    path = output or folder / PAGE
    write_text(path, run_page(read_run(folder)))
    return path


def run_page(run: Run) -> str:
    """The page, as HTML."""
    scores, found, matrix = score_table(run), answers(run), confusion(run)
    early, later = _notes(run)
    sections = {
        "scores": ("Scores", bool(scores.lines)),
        "training": ("Training", True),
        "classes": ("Classes", matrix is not None),
        "examples": ("Examples", found is not None),
        "data": ("Data", True),
        "recipe": ("Recipe", True),
        "notes": ("Noted", bool(later)),
        "provenance": ("Provenance", True),
    }
    return render(
        "run.html.jinja",
        version=__version__,
        run=run,
        state=_state(run),
        lede=_lede(run),
        figures=_figures(run, scores),
        sections=[(id, title) for id, (title, there) in sections.items() if there],
        scores=scores,
        curves=curves(run),
        answers=found,
        confusion=matrix,
        splits=_splits(run),
        data_notes=early,
        notes=later,
        settings=settings(run),
        provenance=_provenance(run),
    )


def _state(run: Run) -> str:
    planned = run.last("started").get("num_steps")
    of = f"step {run.step:,}" + (f" of {planned:,}" if planned else "")
    return {"finished": "finished", "running": f"running, {of}", "stopped": f"stopped at {of}"}[run.state]


def _lede(run: Run) -> str:
    """What was trained, in a sentence or two."""
    method, started = run.section("method"), run.last("started")
    name = str(method.get("name", ""))
    titled = {"lora": "LoRA", "bitfit": "BitFit", "full": "Full fine-tuning"}.get(name, name.capitalize())
    match method.get("r"):
        case int() as r:
            rank = f" of rank {r}"
        case {} as ranks if ranks:
            rank = f" of ranks {min(ranks.values())} to {max(ranks.values())}"
        case _:
            rank = ""
    text = f"{titled}{rank} on {run.section('model').get('base')}, for {run.section('task').get('name')}."
    trained = run.num_trained
    if trained is not None and (total := started.get("num_total")):
        text += f" {trained:,} of {total:,} parameters were trained, {100 * trained / total:.3g}\u00a0%."
    elif trained is not None:
        text += f" {trained:,} parameters were trained."
    return text


def _figures(run: Run, scores: ScoreTable) -> list[KeyFigure]:
    found = []
    if (line := scores.headline) is not None and line.value is not None:
        between = f"{number(line.interval.low)} to {number(line.interval.high)}" if line.interval else ""
        base = f"bare base {number(line.base)}" if line.base is not None else ""
        paper = f"paper {line.paper}" if line.paper else ""
        beside = " · ".join(each for each in (between, base, paper) if each)
        found.append(KeyFigure(f"{line.name}, {run.result.get('split', 'test')}", number(line.value), beside))
    if best := run.best_validation:
        losses = len(run.of("validation"))
        found.append(
            KeyFigure("Best validation loss", f"{best['loss']:.4f}", f"epoch {best['epoch']} of {losses}")
        )
    started = run.last("started")
    tokens = [event["tokens"] for event in run.of("step") if event.get("tokens") is not None]
    if run.step:
        seen = f"{short(float(f'{tokens[-1]:.3g}'))} tokens" if tokens else ""
        found.append(KeyFigure("Steps", f"{run.step:,}", seen))
    if seconds := run.last("finished").get("seconds"):
        where = ", ".join(str(started[key]) for key in ("device", "dtype") if started.get(key))
        found.append(KeyFigure("Time", duration(seconds), where))
    memory = [event["memory_bytes"] for event in run.of("step") if event.get("memory_bytes")]
    if memory:
        found.append(KeyFigure("Peak memory", f"{max(memory) / 1e9:.2f} GB"))
    return found


def _notes(run: Run) -> tuple[list[str], list[str]]:
    """What was said before training, of rows and base, and what was said later; each once."""
    began = next(
        (i for i, event in enumerate(run.events) if event.get("event") == "started"), len(run.events)
    )
    early: dict[str, None] = {}
    later: dict[str, None] = {}
    for index, event in enumerate(run.events):
        match event:
            case {"event": "note", "text": str() as text}:
                (early if index < began else later).setdefault(text)
            case {"event": "number_format", "dtype": dtype, "reason": reason}:
                early.setdefault(f"the base's weights are held in {dtype}: {reason}")
    for text in run.result.get("notes") or ():
        later.setdefault(str(text))
    return list(early), [text for text in later if text not in early]


def _splits(run: Run) -> list[SplitFacts]:
    counts = run.last("started").get("num_rows") or {}
    inputs = run.result.get("inputs") or {}
    hashes = (run.card.get("provenance") or {}).get("data") or {}
    found = []
    for split in _SPLITS:
        known: Mapping[str, object] = inputs.get(f"data.{split}") or {}
        sha256 = str(known.get("sha256") or hashes.get(split) or "")
        if known or sha256 or split in counts:
            where = str(known.get("where") or run.section("data").get(split) or "")
            found.append(SplitFacts(split, counts.get(split), where, sha256))
    return found


def _provenance(run: Run) -> dict[str, str]:
    made, base = run.card.get("provenance") or {}, run.card.get("base") or {}
    files = (run.card.get("files") or {}).get("adapter.safetensors") or {}
    facts = {
        "run folder": str(run.path),
        "its relative paths are from": str(run.document.get(PATHS_FROM) or ""),
        "made": str(made.get("created") or ""),
        "versions": ", ".join(
            f"{name} {made[name]}" for name in ("lorafit", "torch", "transformers") if made.get(name)
        ),
        "commit of lorafit": str(made.get("commit") or ""),
        "base": " at revision ".join(str(base[key]) for key in ("id", "revision") if base.get(key)),
        "base weights, sha256": str(base.get("weights_hash") or ""),
        "recipe, sha256": str(made.get("recipe_hash") or ""),
        "adapter, sha256": str(files.get("sha256") or ""),
        "adapter of step": str(made.get("step") or ""),
        "imported from": str(made.get("imported_from") or ""),
    }
    return {name: text for name, text in facts.items() if text}
