"""Figures beside scores.json, where matplotlib is there."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorafit.files import write_bytes

_MOST_LABELS = 60  # more have no room for their names


def draw_confusion(folder: Path, scores: Mapping[str, Any]) -> None:
    """confusion.png in `folder`: which class is taken for which, of scores that say so."""
    labels, counts = list(scores.get("classes") or {}), scores.get("confusion")
    if counts is None or len(labels) > _MOST_LABELS or importlib.util.find_spec("matplotlib") is None:
        return
    from matplotlib.figure import Figure

    size = 3 + 0.4 * len(labels)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(counts, cmap="Blues", vmin=0)
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=90)
    axes.set_yticks(places, labels)
    axes.set(xlabel="answered", ylabel="is")
    greatest = max(map(max, counts))
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            shade = "white" if 2 * count > greatest else "black"
            axes.text(j, i, f"{count:,}", ha="center", va="center", color=shade)
    figure.colorbar(image)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    write_bytes(folder / "confusion.png", drawn.getvalue())
