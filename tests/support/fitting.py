"""Which methods an architecture has a place for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from lorafit.methods import LoRA, Method
from lorafit.models import FAMILIES, Family
from tests.support.tiny_models import tiny_model


@cache
def has_biases(model_type: str) -> bool:
    """Outside the head."""
    model = tiny_model(model_type)
    return any("bias" in name and not model.is_head(name) for name, _ in model.net.named_parameters())


# What an architecture must have for a method and its variant; one that is not here fits all.
NEEDS: dict[tuple[str, str], Callable[[Family], bool]] = {
    ("bitfit", ""): lambda family: has_biases(family.model_type),
    ("adapter", "houlsby"): lambda family: bool(family.sublayer_ends),
    ("adapter", "pfeiffer"): lambda family: bool(family.post_norm),
    ("adapter", "adapterdrop"): lambda family: bool(family.post_norm),
    ("adapter", "lin"): lambda family: family.wrapped_blocks,
    ("prefix", "layer"): lambda family: family.pluggable_attention and "key" in family.places,
    ("prefix", "embedding"): lambda family: {"text"} <= family.heads.keys() and "key" in family.places,
}


def fits(model_type: str, method: Method) -> bool:
    """Whether the architecture has what the method needs."""
    family = FAMILIES[model_type]
    if isinstance(method, LoRA):
        return all(target in family.places for target in method.targets)
    needed = NEEDS.get((method.name, method.options().get("variant", "")))
    return needed is None or needed(family)
