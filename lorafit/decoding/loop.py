"""Decode many prompts: batches of like lengths, each through one session and one search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

from lorafit.decoding.search import Move, Search
from lorafit.decoding.session import open_session
from lorafit.errors import RUN_AGAIN, InterruptedRunError
from lorafit.models import family_of

Prompt = Sequence[int]


class Strategy(Protocol):
    """How to choose tokens: `BeamSearch`, `Greedy` or `Sample`. `one_by_one`: a token is sure when it is chosen."""

    one_by_one: ClassVar[bool]

    @property
    def max_new_tokens(self) -> int: ...
    def begin(self, examples: Sequence[int], device: torch.device) -> Search: ...


def generate(
    net: PreTrainedModel,
    prompts: Sequence[Prompt],
    strategy: Strategy,
    *,
    batch_size: int = 16,
    should_stop: Callable[[], bool] | None = None,
    num_members: int = 1,
) -> Iterator[tuple[int, list[int]]]:
    """Continue each prompt, and yield (its index, the generated ids, end token included) as they are done.

    Where several members share the net, each continues every prompt, as if it had them alone: the index of prompt i
    is m * len(prompts) + i for member m.

    `batch_size` counts prompts and changes no result. A long prompt loses its beginning, so that
    `max_new_tokens` fit into the model's positions (the paper's code: into 512). `net` may be in any mode and
    on any device; it decodes in eval mode, and is as it was whenever this yields.
    Raises InterruptedRunError when `should_stop`, asked once a step, says so, and ValueError where `max_new_tokens`
    leaves no room for a prompt, which the caller has to refuse.
    """
    room = _prompt_room(net, strategy.max_new_tokens)
    for indices in batches_of(net, prompts, strategy, batch_size):
        batch = {i: prompts[i][-room:] for i in indices}
        for owner, index, tokens in _decode(net, batch, strategy, should_stop or _never, num_members):
            yield owner * len(prompts) + index, tokens


def batches_of(
    net: PreTrainedModel, prompts: Sequence[Prompt], strategy: Strategy, batch_size: int
) -> list[list[int]]:
    """Which prompts `generate` decodes together: the longest first, each with its like."""
    room = _prompt_room(net, strategy.max_new_tokens)
    longest_first = sorted(range(len(prompts)), key=lambda i: -min(len(prompts[i]), room))
    return [longest_first[start : start + batch_size] for start in range(0, len(prompts), batch_size)]


def generate_all(
    net: PreTrainedModel,
    prompts: Sequence[Prompt],
    strategy: Strategy,
    *,
    batch_size: int = 16,
    should_stop: Callable[[], bool] | None = None,
) -> list[list[int]]:
    """What `generate` yields, in the order of the prompts."""
    results = dict(generate(net, prompts, strategy, batch_size=batch_size, should_stop=should_stop))
    return [results[i] for i in range(len(prompts))]


@torch.inference_mode()
def stream(net: PreTrainedModel, prompt: Prompt, strategy: Strategy) -> Iterator[int]:
    """What `generate` yields for one prompt, token by token, each as soon as it is sure: those of a beam search all at
    the end. `net` is in eval mode until then. Raises as `generate`."""
    shown = prompt[-_prompt_room(net, strategy.max_new_tokens) :]
    count = 0
    for move, _ in _moves(net, {0: shown}, strategy, _never):
        for _, ids in move.finished:
            yield from ids[count:]
        if not move.finished and strategy.one_by_one:
            count += 1
            yield int(move.tokens)


@torch.inference_mode()
def _decode(
    net: PreTrainedModel,
    prompts: dict[int, Prompt],
    strategy: Strategy,
    should_stop: Callable[[], bool],
    num_members: int,
) -> list[tuple[int, int, list[int]]]:
    """One batch: read the prompts, then choose and step until every example of every member is done."""
    return [
        (owner, *done)
        for move, owners in _moves(net, prompts, strategy, should_stop, num_members)
        for owner, done in zip(owners, move.finished, strict=True)
    ]


def _moves(
    net: PreTrainedModel,
    prompts: dict[int, Prompt],
    strategy: Strategy,
    should_stop: Callable[[], bool],
    num_members: int = 1,
) -> Iterator[tuple[Move, list[int]]]:
    """Every step of the search, to the one that finishes the last example, and whose the finished ones are."""
    if not all(prompts.values()):
        raise ValueError("a prompt must have at least one token")
    session = open_session(net, num_members)
    search = strategy.begin(list(prompts) * num_members, net.device)
    owners = [member for member in range(num_members) for _ in prompts]
    with _eval_mode(net):
        logits = session.read(list(prompts.values()) * num_members)
        while True:
            move = search.advance(logits)
            going_on = range(len(owners)) if move.rows is None else move.rows.tolist()
            yield move, [owners[row] for row in sorted({*range(len(owners))} - {*going_on})]
            owners = [owners[row] for row in going_on]
            if not owners:
                return
            if should_stop():
                raise InterruptedRunError("stopped while decoding", RUN_AGAIN)
            logits = session.step(move.parents, move.tokens, move.rows)


def _prompt_room(net: PreTrainedModel, max_new_tokens: int) -> int:
    """The longest prompt, in tokens, that leaves room for `max_new_tokens`."""
    num_positions = family_of(net.config).num_positions(net.config)
    if num_positions is None:
        return 2**31  # no limit
    if max_new_tokens >= num_positions:
        raise ValueError("max_new_tokens must leave room for a prompt")
    return num_positions - max_new_tokens


@contextmanager
def _eval_mode(net: nn.Module) -> Iterator[None]:
    """Switch off dropout, then give every module back the mode it had: parts of a model may differ in it."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for (
            module,
            training,
        ) in modes:  # parents come first, so what `train` does to their children is set right
            if module.training != training:
                module.train(training)


def _never() -> bool:
    return False
