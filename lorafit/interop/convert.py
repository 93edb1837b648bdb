"""What a foreign file holds -> lorafit's method and tensors. Every tensor finds its place, or is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from transformers import PretrainedConfig

from lorafit.errors import AdapterError, DropArgument, RecipeError, SetArgument
from lorafit.interop.base_tensors import BaseTensors
from lorafit.interop.foreign import Factors, Foreign, Slices
from lorafit.interop.readers import Reader
from lorafit.interop.targets import exact_targets
from lorafit.methods import LoRA
from lorafit.metrics import Kind
from lorafit.models import Family, Model, family_of


@dataclass(frozen=True)
class Converted:
    """The method, the tensors by lorafit's names, and the names of tensors that only repeat the base's."""

    method: LoRA
    tensors: dict[str, Tensor]
    repeated: list[str]


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
    foreign: Foreign, reader: Reader, base: BaseTensors, alpha: float | None, targets: tuple[str, ...] | None
) -> Converted:
    """Fit the foreign tensors to the base.

    Raises RecipeError where alpha must be given, AdapterError where something has no place, lorafit's LoRA cannot
    express it, or it is not the base's.
    """
    shape = base.shape
    modules = dict(shape.net.named_modules())
    layers = {}
    for given in foreign.layers:
        name = _module_name(given, shape, modules)
        if name is None:
            raise AdapterError(f"{foreign.path}: adapts {given!r}, which this base does not have; wrong base")
        slices = Slices.of(shape.family, name, targets)
        layers[name] = reader.factors(foreign, given, modules[name], slices)
    method = _method(foreign, reader, shape, layers, alpha)
    tensors, repeated = _others(foreign, base)
    for name, factors in layers.items():
        tensors |= {f"{name}.{key}": tensor.contiguous() for key, tensor in factors.tensors.items()}
    _check_finite(foreign, tensors)
    return Converted(method, tensors, repeated)


def _module_name(given: str, shape: Model, modules: Mapping[str, nn.Module]) -> str | None:
    """Checkpoints of bare backbones lack the backbone's name."""
    candidates = (given, f"{shape.family.backbone}.{given}", given.removeprefix(f"{shape.family.backbone}."))
    return next((name for name in candidates if name in modules), None)


def _others(foreign: Foreign, base: BaseTensors) -> tuple[dict[str, Tensor], list[str]]:
    """The head's tensors by name, and the names of all others, each of which equals the base's."""
    head = {name for name, _ in base.shape.head_parameters()}
    repeated = {name: tensor for name, tensor in foreign.others.items() if name not in head}
    base.check(foreign.path, repeated)
    return {name: t.float() for name, t in foreign.others.items() if name in head}, list(repeated)


def _check_finite(foreign: Foreign, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise AdapterError(f"{foreign.path}: {name!r} holds values that are NaN or infinite")


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
    return LoRA(
        r=r, alpha=float(alpha), dropout=float(foreign.dropout), targets=_targets(foreign, shape, layers)
    )


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
    targets = exact_targets({name: factors.enabled for name, factors in layers.items()}, shape)
    if targets is None:
        raise AdapterError(f"{foreign.path}: adapts parts of modules that have no name here")
    return targets
