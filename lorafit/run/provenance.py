"""The card of an adapter: base, method and task, and where it comes from: versions, commit, time."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Mapping
from pathlib import Path

import torch
import transformers

from lorafit.adapters import AdapterCard, BaseCard, Provenance
from lorafit.methods import Method
from lorafit.metrics.function import function_files
from lorafit.models import base_folder, base_identity
from lorafit.recipe import Recipe, recipe_hash
from lorafit.tasks import Task
from lorafit.version import __version__


def adapter_card(recipe: Recipe, method: Method, task: Task, data: Mapping[str, str]) -> AdapterCard:
    """The card of an adapter that a recipe trains; `data` has the hash of each split. The base must be here."""
    base, revision = recipe.model.base, recipe.model.revision
    return AdapterCard(
        base=BaseCard(**vars(base_identity(base, revision, base_folder(base, revision)))),
        method=method.options(),
        task=task.options(),
        data=recipe.data,
        decode=recipe.decode,
        provenance=provenance().model_copy(
            update={
                "recipe": recipe.name,
                "recipe_hash": recipe_hash(recipe),
                "seed": recipe.train.seed,
                "data": dict(data),
                "metrics": function_files({*(task.metrics or ()), *(recipe.eval.metrics or ())}),
            }
        ),
    )


def provenance() -> Provenance:
    """The present versions and time; the caller adds what it knows."""
    return Provenance(
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        lorafit=__version__,
        torch=torch.__version__,
        transformers=transformers.__version__,
        commit=_commit(),
    )


def _commit() -> str | None:
    """The commit of the checkout that lorafit runs from, if it runs from one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
