"""How a fresh adapter starts, by name: one filler for lora_A and one for lora_B."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lorafit.errors import RecipeError, did_you_mean
from lorafit.lora.starts import STARTS

Filler = Callable[[Tensor, torch.Generator | None], Tensor]


def _kaiming(tensor: Tensor, generator: torch.Generator | None) -> Tensor:
    return nn.init.kaiming_uniform_(tensor, a=math.sqrt(5), generator=generator)


def _unit_normal(tensor: Tensor, generator: torch.Generator | None) -> Tensor:
    return nn.init.normal_(tensor, generator=generator)


def _small_normal(tensor: Tensor, generator: torch.Generator | None) -> Tensor:
    return nn.init.normal_(tensor, std=0.02, generator=generator)


def _zeros(tensor: Tensor, _: torch.Generator | None) -> Tensor:
    return nn.init.zeros_(tensor)


INITS: dict[str, tuple[Filler, Filler]] = {
    "loralib": (_kaiming, _zeros),  # what users of loralib get
    "paper-gpt2": (_small_normal, _small_normal),  # what the paper-time GPT-2 code did: ΔW ≠ 0 at the start
    "gaussian": (_small_normal, _zeros),  # what the paper's DeBERTa code did
}

# loralib starts an embedding the other way round: A holds one column a token, and most tokens are rare.
EMBEDDING_INITS: dict[str, tuple[Filler, Filler]] = INITS | {"loralib": (_zeros, _unit_normal)}


def fill_adapter(
    lora_a: Tensor,
    lora_b: Tensor,
    *,
    init: str = "loralib",
    generator: torch.Generator | None = None,
    inits: dict[str, tuple[Filler, Filler]] = INITS,
) -> None:
    """Draw lora_a, then lora_b, in place.  RecipeError for an unknown `init`.

    With a generator the values depend on its state alone: neither on the device nor on the dtype of the
    adapter, and the global random state stays as it is. ValueError for an init of STARTS, which needs a weight.
    """
    if init in STARTS:
        raise ValueError(f"init {init!r} is for linear layers")
    if init not in inits:
        raise RecipeError(
            f"init {init!r} is not known (there are {', '.join(inits)}){did_you_mean(init, inits)}"
        )
    for tensor, fill in zip((lora_a, lora_b), inits[init], strict=True):
        if generator is None or tensor.is_meta:
            fill(tensor, None)
            continue
        drawn = torch.empty(tensor.shape, dtype=torch.float32, device=generator.device)
        with torch.no_grad():
            tensor.copy_(fill(drawn, generator))
