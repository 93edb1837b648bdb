"""The command that goes on from where something stands, as it is typed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorafit.run.files.summary import RunSummary


def next_step(run: RunSummary) -> str:
    """What continues a run, or uses a finished one; "" for one that trains or cannot be read."""
    match run.state:
        case "finished":
            return use_adapter(run.path / "adapter", run.task)
        case "stopped" | "begun":
            place = () if run.is_usual else ("--output", str(run.path))
            return shlex.join(["lorafit", "train", str(run.path / "recipe.toml"), *place])
        case _:
            return ""


def use_adapter(adapter: Path, task: str) -> str:
    """What answers with an adapter."""
    return shlex.join(
        ["lorafit", *(("chat", str(adapter)) if task == "chat" else ("predict", str(adapter), "TEXT"))]
    )
