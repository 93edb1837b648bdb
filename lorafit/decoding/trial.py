"""Which way through the model gives the logits of every text read anew? Tried on a small copy of the net."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from lorafit.decoding.search import DecodingSession
from lorafit.models import Family, Model, accepted
from lorafit.models.trials.trial import agree, random_texts, with_small_copy

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
    family: Family, config: PretrainedConfig, ways: Mapping[str, Callable[[PreTrainedModel], DecodingSession]]
) -> str | None:
    """The first way that is right for nets of that config, else the last; None where no copy can be made."""

    @torch.no_grad()
    def answer(small: Model) -> str:
        prompts = random_texts(small, _PROMPTS)
        steps = list(_steps(small, prompts))
        *names, last = ways
        return next((name for name in names if _is_right(small, ways[name], prompts, steps)), last)

    return with_small_copy("decoding", family, config, "text", answer)


def _is_right(
    small: Model,
    make: Callable[[PreTrainedModel], DecodingSession],
    prompts: list[Tensor],
    steps: list[_Step],
) -> bool:
    """Whether a session gives the same logits all the way; what fails does not."""
    first = _reread(small, [prompt[None] for prompt in prompts])
    try:
        session = make(copy.deepcopy(small.net).eval())
        return agree(session.read([prompt.tolist() for prompt in prompts]), first) and all(
            agree(session.step(step.parents, step.tokens, step.rows), step.logits) for step in steps
        )
    except Exception:  # whatever an architecture makes of a cache that it does not know
        return False


def _steps(small: Model, prompts: list[Tensor]) -> Iterator[_Step]:
    """Forks at random; examples leave, and widths change."""
    draw = random.Random(0)
    texts = [prompt[None] for prompt in prompts]
    for width, going_on in _WIDTHS:
        texts = texts if going_on is None else [texts[row] for row in going_on]
        parents = torch.tensor([[draw.randrange(len(beams)) for _ in range(width)] for beams in texts])
        tokens = torch.stack(random_texts(small, [width] * len(texts)))
        texts = [
            torch.cat([beams[chosen], new[:, None]], dim=1)
            for beams, chosen, new in zip(texts, parents, tokens, strict=True)
        ]
        rows = None if going_on is None else torch.tensor(going_on)
        yield _Step(parents, tokens, rows, _reread(small, texts))


def _reread(small: Model, texts: list[Tensor]) -> Tensor:
    """The logits after each of the texts, which lie [width, length] for every example; one text at a time."""
    net, options = small.net, accepted(small.net, use_cache=False)
    last = [[net(input_ids=text[None], **options).logits[0, -1] for text in beams] for beams in texts]
    return torch.stack([torch.stack(beams) for beams in last])
