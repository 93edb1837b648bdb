"""Where the files of one run are, for those who write them and for those who only look; no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRESS_FILE = "progress.json"  # of a checkpoint: how far the run is


@dataclass(frozen=True)
class RunPaths:
    """runs/<recipe name>/seed-<n>, or another folder that the caller names."""

    path: Path

    @staticmethod
    def usual(name: str, seed: int) -> Path:
        """The folder of a run where nobody names another one."""
        return Path("runs") / name / f"seed-{seed}"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def last_adapter(self) -> Path:
        return self.path / "adapter-last"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    @property
    def diverged(self) -> Path:
        """Why the run has ended before its end."""
        return self.path / "diverged.json"

    @property
    def tracked(self) -> Path:
        """What trackers keep."""
        return self.path / "track"

    def predictions(self, split: str) -> Path:
        return self.path / "predictions" / f"{split}.jsonl"

    def predicting(self, split: str) -> Path:
        """Predictions so far, while they are being made."""
        return self.path / "predicting" / f"{split}.jsonl"


def checkpoint_folders(root: Path) -> list[Path]:
    """Every step-<n> in `root`, the newest first."""
    numbered = [(p.name.removeprefix("step-"), p) for p in root.glob("step-*")]
    return [path for _, path in sorted(((int(n), p) for n, p in numbered if n.isdigit()), reverse=True)]


def run_folders(root: Path) -> Iterator[Path]:
    """Folders that hold a recipe.toml; folders inside one are part of that run."""
    for folder, inner, files in os.walk(root):
        if "recipe.toml" in files:
            inner.clear()
            yield Path(folder)
