"""Where an adapter comes from: versions, commit, time."""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path

import torch
import transformers

import lorafit
from lorafit.adapters import Provenance


def provenance(**known: str | int | None) -> Provenance:
    """Versions and time of now, with what the caller knows: recipe, recipe_hash, seed, step, imported_from."""
    return Provenance(
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        lorafit=lorafit.__version__,
        torch=torch.__version__,
        transformers=transformers.__version__,
        commit=_commit(),
        **known,  # type: ignore[arg-type]
    )


def _commit() -> str | None:
    """The commit of the checkout that lorafit runs from, if it runs from one."""
    root = Path(lorafit.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
