"""The README.md in every adapter folder: what it is, how good it is, how to load it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from lorafit.adapters.card import AdapterCard
from lorafit.files import JsonObject
from lorafit.methods import METHODS
from lorafit.tasks import read_task


def model_card(
    card: AdapterCard,
    tensors: dict[str, Tensor],
    *,
    library: str = "lorafit",
    paragraphs: Sequence[str] | None = None,
) -> str:
    """Markdown with the front matter that the Hugging Face hub reads.

    `library`: in whose format the folder is. `paragraphs`: how to load it; None for an adapter folder of lorafit.
    """
    sections = [
        _front_matter(card, library),
        f"# {card.method['name']} adapter of {card.base.id} for {card.task['name']}",
        _facts(card, tensors),
        _scores(card),
        "## How to load it",
        *([_loading(card)] if paragraphs is None else paragraphs),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(card: AdapterCard, library: str) -> str:
    kind = "text-generation" if read_task(card.task).output == "text" else "text-classification"
    lines = [
        "---",
        f"library_name: {library}",
        *([f"base_model: {json.dumps(card.base.id)}"] if _on_the_hub(card.base.id) else []),
        f"pipeline_tag: {kind}",
        "tags:",
        *(f"- {tag}" for tag in dict.fromkeys((card.method["name"], "lorafit", card.task["name"]))),
        "---",
    ]
    return "\n".join(lines)


def _facts(card: AdapterCard, tensors: dict[str, Tensor]) -> str:
    made, base = card.provenance, card.base
    options = ", ".join(f"{k} = {_shown(v)}" for k, v in card.method.items() if k != "name" and v is not None)
    revision = f" at revision `{base.revision}`" if base.revision else ""
    weights = f"weights sha256 `{base.weights_hash[:16]}…`" if base.weights_hash else "weights not checked"
    data = ", ".join(f"{k} = {_shown(v)}" for k, v in card.data.model_dump(exclude_none=True).items())
    decoding = ", ".join(f"{k} = {_shown(v)}" for k, v in card.decode.model_dump(exclude_none=True).items())
    task = read_task(card.task)
    labels = f": {', '.join(task.labels)}" if task.labels else ""
    rows = {
        "base": f"`{base.id}`{revision} ({weights})",
        "method": f"{card.method['name']} ({options})",
        "task": f"{task.name} ({task.output}{labels})",
        "data": data,
        "decoding": decoding if task.output == "text" else "",
        "trained values": f"{sum(tensor.numel() for tensor in tensors.values()):,}",
        "scored by": ", ".join(f"`{name}` (sha256 `{sha[:16]}…`)" for name, sha in made.metrics.items()),
        "imported from": made.imported_from,
        "recipe": f"{made.recipe}, seed {made.seed}, step {made.step}" if made.recipe else "",
        "made with": f"lorafit {made.lorafit}, torch {made.torch}, transformers {made.transformers}",
    }
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items() if value)


def _scores(card: AdapterCard) -> str:
    rows = [f"| {name} | {_shown(value)} |" for name, value in _flat(card.scores)]
    return "## Scores\n\n| score | value |\n|---|---|\n" + "\n".join(rows) if rows else ""


def _flat(scores: JsonObject, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in scores.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _loading(card: AdapterCard) -> str:
    name = card.method["name"]
    commands = [
        "lorafit verify THIS_FOLDER",
        f"lorafit eval THIS_FOLDER             # scores it on {card.task['name']}",
    ]
    if read_task(card.task).output == "text":
        commands.append('lorafit predict THIS_FOLDER "…"       # writes a text for a context')
    if name in METHODS and METHODS[name].low_rank:
        commands.append("lorafit export THIS_FOLDER OUT        # for other programs")
    commands.append("lorafit merge THIS_FOLDER MODEL_FOLDER # a plain model")
    return (
        "With [lorafit](https://pypi.org/project/lorafit), which checks the base and every tensor:\n\n```sh\n"
        + "\n".join(commands)
        + "\n```"
    )


def _on_the_hub(base: str) -> bool:
    """The hub refuses a base_model that is a path."""
    return not base.startswith((".", "/", "~", "lorafit:")) and base.count("/") <= 1


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
