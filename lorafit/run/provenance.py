"""The card of an adapter: base, method and task, and where it comes from: versions, commit, time."""

from __future__ import annotations

import datetime as dt
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from lorafit.adapters import AdapterCard, ArithmeticCard, BaseCard, Provenance
from lorafit.metrics.function import function_files
from lorafit.models.placement import Dtype
from lorafit.recipe import recipe_hash
from lorafit.run.inputs import Inputs
from lorafit.run.recipes import Recipe
from lorafit.version import __version__


def adapter_card(recipe: Recipe, inputs: Inputs, dtype: Dtype) -> AdapterCard:
    """The card of an adapter that a recipe trains on these inputs, with the base's weights in `dtype`."""
    return AdapterCard(
        base=BaseCard(
            id=recipe.model.base,
            revision=recipe.model.revision,
            config_hash=inputs.sha256("base.config"),
            weights_hash=inputs.sha256("base.weights"),
            quantize=recipe.model.quantize,
        ),
        method=recipe.method.options(),
        task=recipe.task.options(),
        data=recipe.data,
        decode=recipe.decode,
        arithmetic=ArithmeticCard(dtype=dtype, batch_size=recipe.eval.batch_size),
        provenance=provenance().model_copy(
            update={
                "recipe": recipe.name,
                "recipe_hash": recipe_hash(recipe),
                "seed": recipe.train.seed,
                "data": inputs.data,
                "inputs": inputs.others,
                "metrics": function_files({*(recipe.task.metrics or ()), *(recipe.eval.metrics or ())}),
            }
        ),
    )


def provenance() -> Provenance:
    """The present versions and time; the caller adds what it knows."""
    return Provenance(
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        lorafit=__version__,
        torch=torch.__version__,
        transformers=version("transformers"),
        commit=_commit(),
    )


@cache
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
