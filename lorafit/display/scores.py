"""Scores beside the paper's, and a few predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.format import number
from lorafit.metrics.score import flat

_MOST_COLUMNS = 12  # of a confusion matrix on a terminal; of more classes the greatest confusions are shown
_MOST_CONFUSIONS = 10


def show_scores(display: Display, result: Mapping[str, Any], paper: Mapping[str, float]) -> None:
    """A row for each score: the adapter's, the bare base's where it was scored, the paper's where there is one; and
    how well each class is told."""
    scores, base = flat(result.get("scores") or {}), flat(result.get("base") or {})
    if not scores:
        return
    columns = [
        "score",
        "adapter",
        *(["bare base"] if base else []),
        *(["paper", "difference"] if paper else []),
    ]
    table = Table(*columns, box=None, header_style="bold")
    for name, value in scores.items():
        row = [name, number(value), *([number(base.get(name))] if base else [])]
        if paper:
            theirs = paper.get(name)
            difference = value - theirs if value is not None and theirs is not None else None
            row += [number(theirs), f"{difference:+.4g}" if difference is not None else ""]
        table.add_row(*row)
    display.print()
    display.print(table)
    _show_classes(display, result)
    for name, reason in flat(result.get("reasons") or {}).items():
        display.print(f"{name}: {escape(str(reason))}")
    for note in result.get("notes") or ():
        display.print(f"note: {escape(str(note))}", style="dim")


def _show_classes(display: Display, result: Mapping[str, Any]) -> None:
    """A row for each class, and which class is taken for which."""
    classes, confusion = result.get("classes") or {}, result.get("confusion")
    if not classes:
        return
    table = Table("class", "precision", "recall", "f1", "support", box=None, header_style="bold")
    for name, line in classes.items():
        figures = (number(line[key]) for key in ("precision", "recall", "f1"))
        table.add_row(escape(name), *figures, f"{line['support']:,}")
    display.print()
    display.print(table)
    if confusion is None:
        return
    display.print()
    if len(classes) <= _MOST_COLUMNS:
        matrix = Table("is \\ answered", *map(escape, classes), box=None, header_style="bold")
        for name, counts in zip(classes, confusion, strict=True):
            matrix.add_row(escape(name), *(f"{count:,}" for count in counts))
        display.print_wide(matrix)
        return
    names = list(classes)
    wrong = [
        (n, names[i], names[j]) for i, row in enumerate(confusion) for j, n in enumerate(row) if n and i != j
    ]
    for count, name, other in sorted(wrong, key=lambda each: -each[0])[:_MOST_CONFUSIONS]:
        display.print(f"{escape(name)} taken for {escape(other)}: {count:,}")


_SHOWN_CHARACTERS = 600  # of a text


def show_samples(display: Display, samples: Sequence[Mapping[str, Any]]) -> None:
    """Inputs, predictions, and references or labels."""
    for sample in samples:
        display.print()
        given = sample["input"] if isinstance(sample["input"], dict) else {"input": sample["input"]}
        right = sample.get("references", [sample.get("label")])
        answer = _answer_word(sample)
        lines = [*given.items(), (answer, sample["prediction"])]
        lines += [("reference", text) for text in right[:2] if text is not None]
        width = max(len(name) for name, _ in lines) + 2
        for name, text in lines:
            style = "bold" if name == answer else None
            display.print(f"{name + ':':<{width}}{escape(_shown(text))}", style=style)


def _answer_word(sample: Mapping[str, Any]) -> str:
    """What a prediction is called: a text that is written, how likely one is that was read, a label or a number."""
    if "references" in sample:
        return "written"
    return "loss" if "num_targets" in sample else "answered"


def _shown(value: Any) -> str:
    """A number, the end of a conversation, a list, or a text, of which the beginning says enough."""
    match value:
        case float():
            return number(value)
        case [*_, {"role": role, **message}]:
            return f"{role}: {_shown(message.get('content', ''))}"
        case list():
            return ", ".join(map(str, value)) or "(none)"
        case _:
            text = str(value)
            return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
