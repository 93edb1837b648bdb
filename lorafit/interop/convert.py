"""What a foreign file holds -> lorafit's method and tensors. Every tensor finds its place, or is refused by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from torch import Tensor

from lorafit import lora
from lorafit.errors import AdapterError, Advice, DropArgument, RecipeError, SetArgument
from lorafit.interop.base_tensors import BaseTensors
from lorafit.interop.foreign import Factors, Foreign, Slices
from lorafit.interop.readers import Reader
from lorafit.interop.targets import exact_parameters, exact_targets
from lorafit.methods import LoRA
from lorafit.metrics import Kind
from lorafit.models import Family, Model, names_of_added_rows, tables_with_rows


@dataclass(frozen=True)
class Converted:
    """The method, the tensors by lorafit's names, and the names of tensors that only repeat the base's."""

    method: LoRA
    tensors: dict[str, Tensor]
    repeated: list[str]


def output_of(foreign: Foreign, base: BaseTensors) -> tuple[Kind, int | None]:
    """What the adapter is for, by its head or, where it has none, the base's: text where there is none either; else one
    score, or as many labels as rows.

    Raises AdapterError for an encoder without a head.
    """
    family = base.shape.family
    head = family.heads.get("label")
    weight = foreign.others.get(f"{head.output}.weight") if head is not None else None
    if weight is None and "text" not in family.heads:
        weight = base.find(f"{head.output}.weight") if head is not None else None
        if weight is None:
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
    foreign = reader.on_base(foreign, base)
    shape = base.shape
    modules, adaptable = dict(shape.net.named_modules()), lora.adaptable(shape.net)
    layers = {}
    for given in foreign.layers:
        name = _name(given, shape, modules)
        if name is None:
            raise AdapterError(f"{foreign.path}: adapts {given!r}, which this base does not have; wrong base")
        if name not in adaptable:
            kind = type(modules[name]).__name__
            raise AdapterError(f"{foreign.path}: adapts {given!r}, a {kind}, of which there is no LoRA layer")
        slices = Slices.of(shape.family, name, targets)
        layers[name] = reader.factors(foreign, given, modules[name], slices)
    alpha = _levelled(foreign, layers, _alpha(foreign, reader, shape.family, alpha))
    tensors, repeated = _head(foreign, base), _repeated(foreign, base)
    _into_head(foreign, layers, tensors)
    whole = _trained_whole(foreign, base)
    try:
        method = LoRA(
            r=next(iter(layers.values())).r,
            alpha=alpha,
            dropout=float(foreign.dropout),
            dora=any("lora_magnitude" in factors.tensors for factors in layers.values()),
            targets=_targets(foreign, shape, layers),
            also_train=exact_parameters(whole.keys() - names_of_added_rows(shape.net), shape) or None,
        )
    except ValidationError as error:
        detail = error.errors()[0]
        fault = f"{foreign.path}: {detail['loc'][0]} {detail['input']!r} is none that LoRA can have"
        raise AdapterError(fault) from None
    tensors |= whole
    for name, factors in layers.items():
        tensors |= {f"{name}.{key}": tensor.contiguous() for key, tensor in factors.tensors.items()}
    _check_finite(foreign, tensors)
    return Converted(method, tensors, repeated)


def _name(given: str, shape: Model, known: Container[str]) -> str | None:
    """A name as the net has it: checkpoints of bare backbones lack the backbone's."""
    candidates = (given, f"{shape.family.backbone}.{given}", given.removeprefix(f"{shape.family.backbone}."))
    return next((name for name in candidates if name in known), None)


def _head(foreign: Foreign, base: BaseTensors) -> dict[str, Tensor]:
    """The head's tensors by name: the file's, else the base's own.

    Raises AdapterError where neither has one.
    """
    tensors = {}
    for name, _ in base.shape.head_parameters():
        tensor = foreign.others.get(name)
        tensor = base.find(name) if tensor is None else tensor
        if tensor is None:
            module = name.rpartition(".")[0]
            raise AdapterError(
                f"{foreign.path}: does not hold {name!r}, which leads to the labels, and neither do the base's files: "
                f"it was drawn at random when the adapter was trained, and not saved",
                Advice(f"train again, and save it too (PEFT: modules_to_save = [{module!r}, …])"),
            )
        tensors[name] = tensor.float()
    return tensors


def _into_head(foreign: Foreign, layers: dict[str, Factors], head: dict[str, Tensor]) -> None:
    """Move adapters of the head's own matrices, which train whole, into these: W + scale B A."""
    for name in [name for name in layers if f"{name}.weight" in head]:
        factors = layers.pop(name)
        a, b = factors.tensors["lora_A"], factors.tensors["lora_B"]
        weight = head[f"{name}.weight"] + (factors.scale or 0.0) * b @ a
        if (magnitude := factors.tensors.get("lora_magnitude")) is not None:
            weight = weight * (magnitude / weight.norm(dim=1))[:, None]
        head[f"{name}.weight"] = weight
    if not layers:
        raise AdapterError(
            f"{foreign.path}: adapts nothing but the head, which trains whole here; merge it with PEFT"
        )


def _trained_whole(foreign: Foreign, base: BaseTensors) -> dict[str, Tensor]:
    """What was trained of the base itself, by parameter name."""
    shape, tensors = base.shape, {}
    parameters = dict(shape.net.named_parameters(remove_duplicate=False))
    for given in sorted(foreign.trained):
        tensor = foreign.others[given]
        name = _name(given, shape, parameters)
        if name is None:
            raise AdapterError(f"{foreign.path}: {given!r} is no parameter of this base; wrong base")
        if shape.is_head(name):
            continue
        if tensor.shape != parameters[name].shape:
            raise _misfit(foreign, given, tensor, parameters[name])
        tensors[name] = tensor.float()
    return tensors


def _repeated(foreign: Foreign, base: BaseTensors) -> list[str]:
    """The names of all other tensors, each of which equals the base's; behind its rows, added ones may stand as they
    were before they trained."""
    head = {name for name, _ in base.shape.head_parameters()}
    repeated = {n: t for n, t in foreign.others.items() if n not in head and n not in foreign.trained}
    parameters = dict(base.shape.net.named_parameters(remove_duplicate=False))
    for given, tensor in repeated.items():
        name = _name(given, base.shape, parameters)
        if name is not None and _is_resized(tensor, parameters[name], base.shape):
            if len(tensor) != _with_added(name, base.shape):
                raise _misfit(foreign, given, tensor, parameters[name])
            repeated[given] = tensor[: len(parameters[name])]
    base.check(foreign.path, repeated)
    return list(repeated)


def _is_resized(tensor: Tensor, parameter: Tensor, shape: Model) -> bool:
    """Whether it is a table of tokens, of another vocabulary."""
    same_width = tensor.ndim == 2 and tensor.shape[1:] == parameter.shape[1:]
    return same_width and len(parameter) == shape.vocab_size != len(tensor)


def _with_added(name: str, shape: Model) -> int | None:
    """How many rows a table has for whoever resizes it; None for one that gets none."""
    table = dict(tables_with_rows(shape.net)).get(name.removesuffix(".weight"))
    return None if table is None else table.num_rows


def _misfit(foreign: Foreign, name: str, tensor: Tensor, parameter: Tensor) -> AdapterError:
    if len(tensor) == len(parameter) or tensor.shape[1:] != parameter.shape[1:]:
        return AdapterError(
            f"{foreign.path}: {name!r} is {list(tensor.shape)}, but this base has {list(parameter.shape)}; wrong base"
        )
    return AdapterError(
        f"{foreign.path}: {name!r} has a vocabulary of {len(tensor)} tokens, and the base one of {len(parameter)}: it "
        f"was trained on a base that was resized",
        Advice(
            f"resize the base as then (resize_token_embeddings({len(tensor)})), save it with its tokenizer"
        ),
        SetArgument("base", note="that one"),
    )


def _check_finite(foreign: Foreign, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise AdapterError(f"{foreign.path}: {name!r} holds values that are NaN or infinite")


def _levelled(foreign: Foreign, layers: dict[str, Factors], alpha: float | None) -> float:
    """Bring all layers to one rank, the largest, and to one scale, the most frequent; returns alpha for these.

    `alpha`: for layers that do not know their scale.
    """
    if any(factors.r < 1 for factors in layers.values()):
        raise AdapterError(f"{foreign.path}: has a layer of rank 0")
    scales = {
        name: factors.scale if factors.scale is not None else (alpha or 0.0) / factors.r
        for name, factors in layers.items()
    }
    r = max(factors.r for factors in layers.values())
    (scale, count) = Counter(scales.values()).most_common(1)[0]
    if not scale > 0:
        raise AdapterError(f"{foreign.path}: alpha {scale * r:g} must be positive")
    for name, factors in layers.items():
        layers[name] = factors.levelled(r, scale, scales[name])
    return alpha if alpha is not None and count == len(layers) else scale * r


def _alpha(foreign: Foreign, reader: Reader, family: Family, given: float | None) -> float | None:
    """What was given where the file says nothing, which it must; None where the file has its own scales."""
    if reader.holds_alpha:
        if given is not None:
            raise RecipeError(
                f"alpha {given:g}: {reader.name} files hold their own alpha", DropArgument("alpha")
            )
        return None
    if given is None:
        known = family.loralib_alpha
        hint = f"{known:g} for the paper's {family.model_type} checkpoints" if known else ""
        fault = f"{foreign.path}: a {reader.name} file does not hold alpha"
        raise RecipeError(fault, SetArgument("alpha", note=hint))
    return float(given)


def _targets(foreign: Foreign, shape: Model, layers: Mapping[str, Factors]) -> tuple[str, ...]:
    targets = exact_targets({name: factors.enabled for name, factors in layers.items()}, shape)
    if targets is None:
        raise AdapterError(f"{foreign.path}: adapts parts of modules that have no name here")
    return targets
