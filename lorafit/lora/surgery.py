"""Find modules in a model by name, swap them for LoRA layers, and put them back, in any architecture."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import nn

from lorafit.errors import NotMergeableError, RecipeError, did_you_mean
from lorafit.lora.conv import Conv1d, Conv2d, Conv3d
from lorafit.lora.embedding import Embedding
from lorafit.lora.layer import LoRALayer
from lorafit.lora.linear import Linear, MergedLinear
from lorafit.lora.with_start import layers_with_start

LAYERS: tuple[type[LoRALayer], ...] = (Linear, Embedding, Conv1d, Conv2d, Conv3d)


@dataclasses.dataclass(frozen=True)
class Site:
    """One module to adapt, by its dotted name, and how.

    `enabled`: which parts of its output are adapted. `parts`: how wide they are, where they differ in width.
    `r` and `alpha`: those of this layer, where they are not everybody's. `kind`: the layer to put in its place;
    None takes the one of LAYERS that can stand in for the module.
    """

    name: str
    enabled: tuple[bool, ...] = (True,)
    parts: tuple[int, ...] | None = None
    r: int | None = None
    alpha: float | None = None
    kind: type[LoRALayer] | None = None


def find(model: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Module]:
    """The adaptable modules that match a pattern, by name and in the model's order.

    A pattern is a glob of a whole dotted name or of its end: `c_attn`, `attn.c_*`, `transformer.h.0.*`.
    RecipeError that lists what there is, for a pattern that matches nothing.
    """
    modules = adaptable(model)
    found: set[str] = set()
    for pattern in patterns:
        matching = {name for name in modules if matches(name, pattern)}
        if not matching:
            leaves = {name.rpartition(".")[2] for name in modules}
            raise RecipeError(
                f"target {pattern!r} matches no module that can be adapted"
                f"{did_you_mean(pattern, leaves) or ';'} there are {_summary(modules)}"
            )
        found |= matching
    return {name: module for name, module in modules.items() if name in found}


def matches(name: str, pattern: str) -> bool:
    """Whether a glob means a dotted name, or its end."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")


def adaptable(model: nn.Module) -> dict[str, nn.Module]:
    """Every module for which there is a LoRA layer, by name; a shared one under each of its names."""
    every = dict(model.named_modules(remove_duplicate=False))
    inside = tuple(f"{name}." for name, module in every.items() if isinstance(module, LoRALayer))
    return {
        n: m for n, m in every.items() if not n.startswith(inside) and any(kind.adapts(m) for kind in LAYERS)
    }


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` in the place of the one called `name`, wherever the model holds that one."""
    old = model.get_submodule(name)
    if old is model:
        raise ValueError("a model cannot be replaced inside itself")
    for parent in list(model.modules()):
        for child_name in [n for n, child in parent._modules.items() if child is old]:
            setattr(parent, child_name, module)


def attach(
    model: nn.Module,
    sites: Sequence[Site],
    *,
    r: int = 0,
    alpha: float = 1.0,
    dropout: float = 0.0,
    init: str = "loralib",
    generator: torch.Generator | None = None,
    merge_weights: bool = False,
    scaling: str = "lora",
) -> list[str]:
    """Put a LoRA layer in the place of every site's module, whose parameters it freezes; returns the names.

    `r` and `alpha` are for sites that have none of their own. All layers are built before the first swap.
    RecipeError for a name that is not there or cannot be adapted, for slices that do not divide the output, and
    for a shared module that two sites want differently.
    """
    modules = adaptable(model)
    wanted: dict[nn.Module, Site] = {}
    for site in sites:
        if site.name not in modules:
            hint = did_you_mean(site.name, modules) or ";"
            raise RecipeError(
                f"no module {site.name!r} that can be adapted{hint} there are {_summary(modules)}"
            )
        first = wanted.setdefault(modules[site.name], site)
        if dataclasses.replace(first, name=site.name) != site:
            raise RecipeError(f"{first.name} and {site.name} are one module, but ask for different adapters")
    build = partial(_build, r=r, lora_alpha=alpha, lora_dropout=dropout, merge_weights=merge_weights)
    how = {"init": init, "generator": generator, "scaling": scaling}
    layers = {s.name: build(m, s, **how) for m, s in wanted.items()}
    for name, layer in layers.items():
        replace(model, name, layer)
    return [site.name for site in sites]


def _build(module: nn.Module, site: Site, **options: Any) -> LoRALayer:
    """The LoRA layer for one site; RecipeError where the options do not fit the module."""
    kind = site.kind or next(kind for kind in LAYERS if kind.adapts(module))
    if not kind.adapts(module):
        raise RecipeError(f"{site.name}: lora.{kind.__name__} cannot stand in for {type(module).__name__}")
    if kind is Linear and (site.enabled != (True,) or site.parts is not None):
        kind = MergedLinear
    if issubclass(kind, MergedLinear):
        options |= {"enable_lora": site.enabled, "parts": site.parts}
    elif site.enabled != (True,) or site.parts is not None:
        raise RecipeError(f"{site.name}: the output of {type(module).__name__} has no slices to choose from")
    if not any(site.enabled):
        raise RecipeError(f"{site.name}: no slice is enabled, so there is nothing to adapt")
    options |= {k: v for k, v in {"r": site.r, "lora_alpha": site.alpha}.items() if v is not None}
    if options["r"] < 1:
        raise RecipeError(f"{site.name}: r must be at least 1, not {options['r']}")
    try:
        return kind.from_base(module, **options)
    except ValueError as error:
        raise RecipeError(f"{site.name}: {error}") from None


def detach(model: nn.Module, *, merge: bool = False) -> list[str]:
    """Put the plain modules back and return their names; with `merge`, first write W + ΔW into their weights.

    NotMergeableError, before anything is written, where a weight is shared with another module: writing it
    would change that one too.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoRALayer)}
    for started in layers_with_start(model).values():
        started.put_start_back()
    if merge:
        for name, layer in layers.items():
            _check_not_tied(model, name, layer)
    for name, layer in layers.items():
        if merge:
            layer.write_merged_weight()
        replace(model, name, layer.to_base())
    return list(layers)


def untie(model: nn.Module, names: Iterable[str]) -> None:
    """Give each parameter of these names storage of its own where it has other names too; the values stay."""
    for name in names:
        parameter = model.get_parameter(name)
        sharing = [n for n, p in model.named_parameters(remove_duplicate=False) if p is parameter]
        if len(sharing) > 1:
            module, _, leaf = name.rpartition(".")
            own = nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)
            model.get_submodule(module).register_parameter(leaf, own)


def _check_not_tied(model: nn.Module, name: str, layer: LoRALayer) -> None:
    if not layer.has_adapter:
        return
    own = set(layer.modules())
    for other_name, other in model.named_modules():
        if other not in own and any(p is layer.weight for p in other._parameters.values()):
            raise NotMergeableError(
                f"{name} and {other_name} share one weight: writing ΔW into the one would change the other; "
                f"untie them first, or merge without writing (lora.merge)"
            )


def _summary(names: Iterable[str]) -> str:
    """Names with numbers as *, each once: `transformer.h.*.attn.c_attn, transformer.h.*.mlp.c_fc`."""
    return ", ".join(dict.fromkeys(re.sub(r"\d+", "*", name) for name in names)) or "none"
