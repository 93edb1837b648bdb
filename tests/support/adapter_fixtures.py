"""Small trained-looking adapters, made without training, and the command line inside the test's own process."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from lorafit.__main__ import main
from lorafit.adapters import (
    AdapterCard,
    BaseCard,
    finished_tensors,
    take_fingerprint,
    write_adapter,
)
from lorafit.adapters.fingerprint import answers, probe_inputs
from lorafit.methods import LoRA, Method
from lorafit.models import Model, base_folder, base_identity, load_base, load_config
from lorafit.run.provenance import provenance
from lorafit.tasks import Task, make_task


def make_adapter(
    base: Path,
    folder: Path,
    method: Method | None = None,
    task: Task | None = None,
    strength: float = 0.2,
) -> AdapterCard:
    """An adapter on `base` whose every trained tensor is away from where it began, as after training."""

    def train(model: Model) -> None:
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in model.trained().values():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=strength)

    method = method or LoRA(r=4, alpha=8.0, targets=("query", "value"))
    return train_adapter(base, folder, method, train, task)


def train_adapter(
    base: Path, folder: Path, method: Method, train: Callable[[Model], None], task: Task | None = None
) -> AdapterCard:
    """An adapter on `base`, as `train` leaves it."""
    task = task or make_task("e2e")
    model = load_base(load_config(str(base), num_labels=task.num_outputs), str(base), None, task.output)
    inputs = probe_inputs(model.vocab_size)
    bare = answers(model, inputs)
    method.attach(model, torch.Generator().manual_seed(1))
    train(model)
    identity = base_identity(str(base), None, base_folder(str(base)))
    card = AdapterCard(
        base=BaseCard(**vars(identity)), method=method.options(), task=task.options(), provenance=provenance()
    )
    tensors = finished_tensors(model, method)
    return write_adapter(folder, card, tensors, take_fingerprint(model, inputs, bare))


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
