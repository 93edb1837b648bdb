"""Which way through the model gives the logits of every text read anew? Tried on a small copy of the net."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from lorafit.models import Family, Model, accepted
from lorafit.models.trial import agree, random_texts, with_small_copy

if TYPE_CHECKING:
    from lorafit.decoding.session import Session

_PROMPTS = (6, 3, 9)  # tokens: longer and shorter than a window
_WIDTHS = (
    (3, None),
    (2, None),
    (3, (0, 2)),
    (2, None),
    (1, (1,)),
)  # beams of a step, and the examples that go on


@dataclass(frozen=True)
class _Step:
    """One move of a search that chooses at random, and the logits [n, width, vocab] that must follow it."""

    parents: Tensor
    tokens: Tensor
    rows: Tensor | None
    logits: Tensor


def first_right(
    family: Family, config: PretrainedConfig, ways: Mapping[str, Callable[[PreTrainedModel], Session]]
) -> str | None:
    """The first way that is right for nets of that config, "reread" where none is; None where no copy can be made."""

    @torch.no_grad()
    def answer(small: Model) -> str:
        prompts = random_texts(_PROMPTS)
        first = _reread(small.net, [prompt[None] for prompt in prompts])
        steps = list(_steps(small.net, prompts))
        return next(
            (name for name, make in ways.items() if _is_right(small.net, make, first, steps)), "reread"
        )

    return with_small_copy("decoding", family, config, "text", answer)


def _is_right(
    net: PreTrainedModel, make: Callable[[PreTrainedModel], Session], first: Tensor, steps: list[_Step]
) -> bool:
    """Whether a session gives the same logits all the way; what fails does not."""
    try:
        session = make(copy.deepcopy(net).eval())
        prompts = [prompt.tolist() for prompt in random_texts(_PROMPTS)]
        return agree(session.read(prompts), first) and all(
            agree(session.step(step.parents, step.tokens, step.rows), step.logits) for step in steps
        )
    except Exception:  # whatever an architecture makes of a cache that it does not know
        return False


def _steps(net: PreTrainedModel, prompts: list[Tensor]) -> Iterator[_Step]:
    """Forks at random; examples leave, and widths change."""
    draw = random.Random(0)
    texts = [prompt[None] for prompt in prompts]
    for width, going_on in _WIDTHS:
        texts = texts if going_on is None else [texts[row] for row in going_on]
        parents = torch.tensor([[draw.randrange(len(beams)) for _ in range(width)] for beams in texts])
        tokens = torch.stack(random_texts([width] * len(texts)))
        texts = [
            torch.cat([beams[chosen], new[:, None]], dim=1)
            for beams, chosen, new in zip(texts, parents, tokens, strict=True)
        ]
        rows = None if going_on is None else torch.tensor(going_on)
        yield _Step(parents, tokens, rows, _reread(net, texts))


def _reread(net: PreTrainedModel, texts: list[Tensor]) -> Tensor:
    """The logits after each of the texts, which lie [width, length] for every example; one text at a time."""
    options = accepted(net, use_cache=False)
    last = [[net(input_ids=text[None], **options).logits[0, -1] for text in beams] for beams in texts]
    return torch.stack([torch.stack(beams) for beams in last])
