"""What a foreign file holds -> lorafit's method and tensors. Every tensor finds its place, or is refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from torch import Tensor, nn
from transformers import PretrainedConfig

from lorafit import lora
from lorafit.errors import AdapterError, DropArgument, RecipeError, SetArgument
from lorafit.interop.foreign import Factors, Foreign, Slices
from lorafit.interop.readers import Reader
from lorafit.methods import LoRA
from lorafit.metrics import Kind
from lorafit.models import Family, Model, family_of


@dataclass(frozen=True)
class Converted:
    """The method, the tensors by lorafit's names, and the names of tensors that belong to the base alone."""

    method: LoRA
    tensors: dict[str, Tensor]
    left_out: list[str]


def output_of(foreign: Foreign, family: Family) -> tuple[Kind, int | None]:
    """What the adapter is for, by its head: text where there is none; else one score, or as many labels as rows.

    Raises AdapterError for an encoder without a head.
    """
    head = family.heads.get("label")
    weight = foreign.others.get(f"{head.output}.weight") if head is not None else None
    if weight is None and "text" not in family.heads:
        raise AdapterError(
            f"{foreign.path}: holds no classification head, without which a {family.model_type} is no use"
        )
    if weight is None:
        return "text", None
    rows = weight.shape[0]
    return ("score", 1) if rows == 1 else ("label", rows)


def convert(
    foreign: Foreign, reader: Reader, shape: Model, alpha: float | None, targets: tuple[str, ...] | None
) -> Converted:
    """Fit the foreign tensors to the base's `shape`.

    Raises RecipeError where alpha must be given, AdapterError where something has no place or lorafit's LoRA cannot
    express it.
    """
    modules = dict(shape.net.named_modules())
    layers = {}
    for given in foreign.layers:
        name = _module_name(given, shape, modules)
        if name is None:
            raise AdapterError(f"{foreign.path}: adapts {given!r}, which this base does not have; wrong base")
        slices = Slices.of(shape.family, name, targets)
        layers[name] = reader.factors(foreign, given, modules[name], slices)
    method = _method(foreign, reader, shape, layers, alpha)
    tensors, left_out = _others(foreign, shape)
    for name, factors in layers.items():
        tensors |= {f"{name}.{key}": tensor.contiguous() for key, tensor in factors.tensors.items()}
    return Converted(method, tensors, left_out)


def _module_name(given: str, shape: Model, modules: Mapping[str, nn.Module]) -> str | None:
    """Checkpoints of bare backbones lack the backbone's name."""
    candidates = (given, f"{shape.family.backbone}.{given}", given.removeprefix(f"{shape.family.backbone}."))
    return next((name for name in candidates if name in modules), None)


def _others(foreign: Foreign, shape: Model) -> tuple[dict[str, Tensor], list[str]]:
    """The head's tensors by name; what belongs to the base is left out, for the base has it."""
    head = {name for name, _ in shape.head_parameters()}
    base = set(shape.net.state_dict())
    tensors, left_out = {}, []
    for name, tensor in foreign.others.items():
        if name in head:
            tensors[name] = tensor
        elif name in base or f"{shape.family.backbone}.{name}" in base or shape.family.is_left_over(name):
            left_out.append(name)
        else:
            raise AdapterError(
                f"{foreign.path}: {name!r} has no place in the model; wrong base, or not plain LoRA"
            )
    return tensors, left_out


def _method(
    foreign: Foreign, reader: Reader, shape: Model, layers: Mapping[str, Factors], alpha: float | None
) -> LoRA:
    ranks = {factors.r for factors in layers.values()}
    if len(ranks) != 1:
        raise AdapterError(
            f"{foreign.path}: has layers of ranks {sorted(ranks)}; lorafit's LoRA has one rank"
        )
    r = ranks.pop()
    alpha = _alpha(foreign, reader, shape.net.config, r, layers, alpha)
    if r < 1 or not alpha > 0:
        raise AdapterError(f"{foreign.path}: r {r} and alpha {alpha:g} must both be positive")
    targets = _targets(foreign, shape, layers)
    try:
        return LoRA(r=r, alpha=float(alpha), dropout=float(foreign.dropout), targets=targets)
    except ValidationError as error:
        detail = error.errors()[0]
        fault = f"{foreign.path}: {detail['loc'][0]} {detail['input']!r} is none that LoRA can have"
        raise AdapterError(fault) from None


def _alpha(
    foreign: Foreign,
    reader: Reader,
    config: PretrainedConfig,
    r: int,
    layers: Mapping[str, Factors],
    given: float | None,
) -> float:
    """What the file says, or what was given where it says nothing."""
    if not reader.holds_alpha:
        if given is not None:
            return given
        known = family_of(config).loralib_alpha
        hint = f"{known:g} for the paper's {config.model_type} checkpoints" if known else ""
        fault = f"{foreign.path}: a {reader.name} file does not hold alpha"
        raise RecipeError(fault, SetArgument("alpha", note=hint))
    if given is not None:
        raise RecipeError(f"alpha {given:g}: {reader.name} files hold their own alpha", DropArgument("alpha"))
    scales = {factors.scale for factors in layers.values() if factors.scale is not None}
    if len(scales) != 1:
        raise AdapterError(f"{foreign.path}: has layers of several scales alpha / r; lorafit's LoRA has one")
    return scales.pop() * r


def _targets(foreign: Foreign, shape: Model, layers: Mapping[str, Factors]) -> tuple[str, ...]:
    """Logical targets where they say it all, else patterns of names: such as mean exactly these modules and slices."""
    wanted = {name: factors.enabled for name, factors in layers.items()}
    family, net = shape.family, shape.net
    targets, covered = [], set()
    for target, place in family.places.items():
        sites = [site.name for site in family.sites(net, [target])]
        if all(name in wanted and _has(wanted[name], place.slice, place.num_slices) for name in sites):
            targets.append(target)
            covered |= set(sites)
    rest = [name for name in wanted if name not in covered]
    patterns = dict.fromkeys(re.sub(r"\d+", "*", name) for name in rest)
    whole = all(set(lora.find(net, [pattern])) <= set(rest) for pattern in patterns)
    chosen = (*targets, *(patterns if whole else rest))
    found = {site.name: site.enabled for site in family.sites(net, chosen)}
    if found != wanted:
        raise AdapterError(
            f"{foreign.path}: adapts other slices in some blocks than in others, which has no name here"
        )
    return chosen


def _has(enabled: tuple[bool, ...], index: int, num_slices: int) -> bool:
    return len(enabled) == num_slices and enabled[index if num_slices > 1 else 0]
