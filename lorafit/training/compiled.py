"""Compiled blocks: in training, the forward and backward pass of every block run as graphs of fixed shapes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

from lorafit.data.batches import split_evenly
from lorafit.errors import RecipeError, SetKey
from lorafit.lora.graph_draws import handle_of, padded
from lorafit.models import Model, way_to_read
from lorafit.models.attention.packing import PackedRow
from lorafit.models.attention.static_row import StaticRow
from lorafit.models.placement import free_memory, is_out_of_memory
from lorafit.models.trials.trial import agree
from lorafit.training.loop import Batch, Loss
from lorafit.training.member import Example, Member
from lorafit.training.process_group import ProcessGroup

BACKEND = "inductor"
MOST_GRAPHS = 128
"""Graphs of the forward pass; in rows of further shapes blocks run as they are."""

_AGREE = {torch.float32: 1e-3}  # of the largest; rounded otherwise, they differ by 1e-6
_HALVES_AGREE = 0.1


def check_compilable(model: Model) -> None:
    """Raises RecipeError for an architecture whose examples do not share a row, or that has no known blocks."""
    config = model.net.config
    if not model.family.blocks or way_to_read(model.family, config, model.output) != "packed":
        raise _cannot(model, "its examples do not share a row")


def check_compiler(device: torch.device) -> None:
    """Raises RecipeError where torch's compiler lacks what it needs on this machine."""
    try:
        torch.compile(torch.neg, backend=BACKEND)(torch.zeros(16, device=device))
    except TorchDynamoException as error:
        raise RecipeError(
            f"[train] compile: torch's compiler fails on this machine: {_first_line(error)}",
            SetKey("train.compile", False),
        ) from error


def compile_blocks(
    model: Model, member: Member[Example], objective: Loss[Model, Example, Batch], group: ProcessGroup
) -> None:
    """Let every block compute with graphs while it trains on packed rows, and try it on the first micro-batch.

    The first block has graphs of its own, since nothing before it trains; all alike share theirs. What an earlier
    model of this process had compiled is forgotten. Raises RecipeError where the compiler fails, or where the graphs
    give another loss or other gradients.
    """
    batch = member.next_batch()
    first = split_evenly(group.shard(batch) or batch, member.position.micro_batch_size)[0]
    examples = [member.steps.examples[i] for i in first]
    expected = _loss_and_gradients(model, member, objective, examples)
    torch.compiler.reset()
    member.draws.handle = handle_of(member.draws)
    graphs = _Graphs()
    for block in model.net.get_submodule(model.family.block_prefix(model.net)).children():
        vars(block)["forward"] = _Forward(block, graphs)
    try:
        found = _loss_and_gradients(model, member, objective, examples)
    except TorchDynamoException as error:
        raise _cannot(model, _first_line(error)) from error
    share = _AGREE.get(model.placement.dtype, _HALVES_AGREE)
    if found is None or expected is None:  # fit takes smaller micro-batches
        return
    if not all(agree(given, right, share) for given, right in zip(found, expected, strict=True)):
        raise _cannot(model, "its compiled blocks give other numbers")


class _Forward:
    """The forward pass of a block; where that computes its activations again, a graph does."""

    def __init__(self, block: nn.Module, graphs: _Graphs) -> None:
        self._block, self._graphs = block, graphs
        self._again: Any = None
        if getattr(block, "gradient_checkpointing", False):  # transformers would do it inside of the graph
            self._again, vars(block)["gradient_checkpointing"] = block._gradient_checkpointing_func, False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        row: PackedRow | None = kwargs.get("packed_row")
        if row is None or not (self._block.training and torch.is_grad_enabled()):
            return _forward(self._block, args, kwargs)
        run = partial(self._graphs.run, self._block, row, kwargs)
        return run(*args) if self._again is None else self._again(run, *args)


class _Graphs:
    """Those of all blocks, and the row that was last seen."""

    def __init__(self) -> None:
        torch._dynamo.config.recompile_limit = MOST_GRAPHS
        self._compiled = torch.compile(_forward, fullgraph=True, dynamic=False, backend=BACKEND)
        self._static: StaticRow | None = None

    def run(self, block: nn.Module, row: PackedRow, kwargs: Mapping[str, Any], *args: Any) -> Any:
        """What the block gives for a row, by a graph."""
        static = self._static
        if static is None or static.row is not row:
            static = self._static = StaticRow.around(row)
        tensors = {name: value for name, value in kwargs.items() if value is not row}
        given, named = static.pad((args, tensors))
        try:
            with padded(static):
                return static.cut(self._compiled(block, given, {**named, "packed_row": static}))
        except FailOnRecompileLimitHit:
            return _forward(block, args, kwargs)


def _forward(block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return type(block).forward(block, *args, **kwargs)


def _loss_and_gradients(
    model: Model, member: Member[Example], objective: Loss[Model, Example, Batch], examples: list[Example]
) -> tuple[Tensor, Tensor] | None:
    """Of a step that is not made; None where memory ran out."""
    before, was_training = member.draws.state(), model.net.training
    try:
        with model.placement.autocast():
            model.net.train()
            loss = objective.loss_sums(model, objective.collate([examples]), [member.label_smoothing])
            loss.sum().backward()
        gradients = [p.grad.flatten() for p in member.parameters if p.grad is not None]
        return loss.detach(), torch.cat(gradients)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        free_memory()
        return None
    finally:
        model.net.train(was_training)
        member.optimizer.zero_grad(set_to_none=True)
        member.draws.set_state(before)


def _cannot(model: Model, why: str) -> RecipeError:
    return RecipeError(
        f"[train] compile: {model.net.config.model_type} cannot be compiled: {why}",
        SetKey("train.compile", False),
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
