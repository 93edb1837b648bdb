"""Small trained-looking adapters, made without training, and the command line inside the test's own process."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from lorafit.__main__ import main
from lorafit.adapters import (
    AdapterCard,
    BaseCard,
    take_fingerprint,
    trained_tensors,
    write_adapter,
)
from lorafit.adapters.fingerprint import answers, probe_inputs
from lorafit.methods import LoRA, Method
from lorafit.models import base_folder, base_identity, load_base, load_config
from lorafit.run.provenance import provenance
from lorafit.tasks import Task, make_task


def make_adapter(
    base: Path,
    folder: Path,
    method: Method | None = None,
    task: Task | None = None,
    strength: float = 0.2,
) -> AdapterCard:
    """An adapter on `base` whose every trained tensor is away from zero, as after training."""
    method = method or LoRA(r=4, alpha=8.0, targets=("query", "value"))
    task = task or make_task("e2e")
    model = load_base(load_config(str(base), num_labels=task.num_outputs), str(base), None, task.output)
    inputs = probe_inputs(model.vocab_size)
    bare = answers(model, inputs)
    method.attach(model, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.trained().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=strength)
    identity = base_identity(str(base), None, base_folder(str(base)))
    card = AdapterCard(
        base=BaseCard(**vars(identity)), method=method.options(), task=task.options(), provenance=provenance()
    )
    return write_adapter(folder, card, trained_tensors(model), take_fingerprint(model, inputs, bare))


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


def run_here(monkeypatch: pytest.MonkeyPatch, arguments: Sequence[Any]) -> Outcome:
    """`lorafit ARGUMENTS` in this process: quick enough for hundreds of runs. An exception that escapes fails."""
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.argv", ["lorafit", *map(str, arguments)])
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())
