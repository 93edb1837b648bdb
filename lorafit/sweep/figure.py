"""sweep.png: the score against the first setting that is a number, a line for each value of the others."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorafit.files import write_bytes
from lorafit.sweep.answer import Answer, Row
from lorafit.sweep.grid import are_numbers, settings_text


def draw_sweep(path: Path, answer: Answer) -> bool:
    """Write the figure, where matplotlib is there and some setting is a number. Returns whether it was."""
    keys = [k for k in answer.rows[0].settings if are_numbers([r.settings[k] for r in answer.rows])]
    varied = [k for k in keys if len({row.settings[k] for row in answer.rows}) > 1]
    if not varied or importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    axis = varied[0]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for name, rows in _lines(answer, axis).items():
        drawn = [(row.settings[axis], row.score) for row in rows if row.score is not None]
        if drawn:
            places, scores = zip(*sorted(drawn, key=lambda each: each[0]), strict=True)
            axes.errorbar(
                places, [s.mean for s in scores], [s.half or 0.0 for s in scores], marker="o", label=name
            )
    values = [row.settings[axis] for row in answer.rows]
    if min(values) > 0 and max(values) / min(values) >= 10:
        axes.set_xscale("log")
    axes.set(xlabel=axis, ylabel=answer.score_name)
    if len(answer.rows[0].settings) > 1:
        axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_bytes(path, content.getvalue())
    return True


def _lines(answer: Answer, axis: str) -> Mapping[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in answer.rows:
        others: dict[str, Any] = {key: value for key, value in row.settings.items() if key != axis}
        found.setdefault(settings_text(others), []).append(row)
    return found
