"""Several adapters of one base -> one that is their weighted sum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lorafit import lora
from lorafit.adapters import (
    Adapter,
    AdapterCard,
    BaseCard,
    BaseChoice,
    check_base,
    read_adapter,
    task_of,
    where_base,
    write_adapter,
)
from lorafit.adapters.folder import TENSOR_FILE
from lorafit.adapters.restore import check_tensors, differing, fingerprint_of, method_of, model_config
from lorafit.errors import AdapterError, NotFoundError, RecipeError
from lorafit.files import check_new
from lorafit.interop.combined import combined
from lorafit.models import Model, base_folder, base_identity, skeleton
from lorafit.run.provenance import provenance


@dataclass(frozen=True)
class Part:
    """An adapter folder, and how much of it is wanted."""

    folder: Path
    weight: float = 1.0


@dataclass(frozen=True)
class CombineResult:
    """The new folder, its card, and what to know about it."""

    folder: Path
    card: AdapterCard
    notes: list[str]


def combine(parts: Sequence[Part], output: Path, base: BaseChoice) -> CombineResult:
    """Write the sum of weight * adapter over `parts` to the new folder `output`; task and settings are the first's.

    The base's config is enough; with its weights the sum also gets a fingerprint. On a base that is forced it is an
    adapter of that base. Raises RecipeError for a weight that is none, weights with which the sum is not finite, or an
    output that exists; AdapterError for adapters that are not LoRA alone, or are of different bases or kinds of task,
    or for the wrong base.
    """
    for part in parts:
        if not math.isfinite(part.weight) or part.weight == 0:
            raise RecipeError(f"{part.folder}: weight {part.weight:g} is none; it must be finite and not 0")
    check_new(output)
    adapters = [read_adapter(part.folder) for part in parts]
    first = adapters[0]
    for other in adapters[1:]:
        _check_alike(first, other)
    check_base(first, base=base.base, force=base.force)
    where, revision = where_base(first, base.base)
    layers = [_layers(adapter, _shape(first, where, revision)) for adapter in adapters]
    beside = _beside(adapters, layers)
    weights = [part.weight for part in parts]
    method, tensors = combined(list(zip(weights, layers, strict=True)), _shape(first, where, revision))
    options = method.options() | {"also_train": first.card.method.get("also_train")}
    card = AdapterCard(
        base=_identity(first.card.base, where, revision) if base.force else first.card.base,
        method=options,
        task=first.card.task,
        data=first.card.data,
        decode=first.card.decode,
        paths=first.card.paths,
        provenance=provenance().model_copy(update={"inputs": _inputs(parts, adapters)}),
    )
    adapter = Adapter(output, card, tensors | beside, None)
    _check_finite(output, adapter.tensors.values())
    fingerprint, notes = None, list[str]()
    try:
        fingerprint = fingerprint_of(adapter.on(where, revision))
    except NotFoundError:
        notes.append(f"{where}: its weights are not here, so the sum has no fingerprint")
    else:
        _check_finite(output, [fingerprint.trained])
    return CombineResult(output, write_adapter(output, card, adapter.tensors, fingerprint), notes)


def _check_alike(first: Adapter, other: Adapter) -> None:
    """Of one base, by its hashes, and of one kind of task with the same labels."""
    one, two = first.card.base, other.card.base
    if one.quantize != two.quantize:
        ours, theirs = (
            f"in {base.quantize}" if base.quantize else "that was not quantised" for base in (one, two)
        )
        raise AdapterError(
            f"{other.folder}: was trained on a base {theirs}, and {first.folder} on one {ours}"
        )
    if differing(one, two):
        raise AdapterError(
            f"{other.folder}: was trained on another base ({two.id}) than {first.folder} ({one.id})"
        )
    tasks = task_of(first), task_of(other)
    if tasks[0].output != tasks[1].output or tasks[0].labels != tasks[1].labels:
        raise AdapterError(f"{other.folder}: gives other outputs than {first.folder}")


def _identity(known: BaseCard, where: str, revision: str | None) -> BaseCard:
    """A base that takes the place of the one that is known."""
    identity = base_identity(where, revision, base_folder(where, revision))
    return BaseCard(**vars(identity), quantize=known.quantize)


def _check_finite(output: Path, tensors: Iterable[Tensor]) -> None:
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise RecipeError(f"{output}: the sum with these weights holds or gives values that are not finite")


def _shape(adapter: Adapter, where: str, revision: str | None) -> Model:
    return skeleton(model_config(adapter, where, revision), task_of(adapter).output)


def _layers(adapter: Adapter, shape: Model) -> dict[str, lora.LoRALayer]:
    """Its LoRA layers by name. Raises AdapterError for a method that has none, or that has more than A and B."""
    method_of(adapter).attach_finished(shape)
    check_tensors(adapter, shape)
    layers = lora.filled_layers(shape.net, adapter.tensors)
    if not layers:
        raise AdapterError(f"{adapter.folder}: method {adapter.card.method['name']!r} does not add up")
    more = {key for layer in layers.values() for key in layer.adapter_parameters()} - {"lora_A", "lora_B"}
    if more:
        raise AdapterError(f"{adapter.folder}: DoRA does not add up: each has a {min(more)} of its own")
    return layers


def _beside(adapters: Sequence[Adapter], layers: Sequence[dict[str, lora.LoRALayer]]) -> dict[str, Tensor]:
    """What was trained whole: it must be the same in all."""
    found = []
    for adapter, own in zip(adapters, layers, strict=True):
        factors = {f"{name}.{key}" for name, layer in own.items() for key in layer.adapter_parameters()}
        found.append({name: tensor for name, tensor in adapter.tensors.items() if name not in factors})
    for adapter, own_beside in zip(adapters, found, strict=True):
        for name in sorted(found[0].keys() | own_beside.keys()):
            one, two = found[0].get(name), own_beside.get(name)
            if one is None or two is None or not torch.equal(one, two):
                raise AdapterError(
                    f"{adapter.folder}: {name!r} was trained whole, and is not the same as in {adapters[0].folder}; "
                    f"only updates of low rank add up"
                )
    return found[0]


def _inputs(parts: Sequence[Part], adapters: Sequence[Adapter]) -> dict[str, str]:
    """How much of which adapter -> the sha256 of its tensors."""
    return {
        f"{part.weight:g} {part.folder}": adapter.card.files[TENSOR_FILE].sha256
        for part, adapter in zip(parts, adapters, strict=True)
    }
