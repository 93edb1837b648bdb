"""Adapter folder + base -> the model as it was trained. Everything must fit, or nothing is loaded."""

from __future__ import annotations

import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import PretrainedConfig

from lorafit.adapters.folder import Adapter
from lorafit.errors import AdapterError
from lorafit.methods import METHODS, Method
from lorafit.models import Model, base_folder, base_identity, load_base, load_config


def trained_tensors(model: Model) -> dict[str, Tensor]:
    """A copy of what was trained, on the CPU, by parameter name: the contents of adapter.safetensors."""
    return {name: p.detach().cpu().clone().contiguous() for name, p in model.trained().items()}


def restore(adapter: Adapter, *, base: str | None = None, force: bool = False) -> Model:
    """The base with the adapter on it, in eval mode on the CPU.

    `base` names the base by another path or id; `force` loads it even where it is not the one trained on.
    Raises AdapterError where tensors, names or the base do not fit; NotFoundError where the base is not to be had.
    """
    card = adapter.card
    where = base or card.base.id
    revision = card.base.revision if base is None else None
    model = load_base(model_config(adapter, where, revision), where, revision, card.task.output)
    check_base(adapter, base=base, force=force)
    method_of(adapter).attach(model, torch.Generator().manual_seed(0))
    load_tensors(adapter, model)
    model.net.eval()
    return model


def load_tensors(adapter: Adapter, model: Model) -> None:
    """Copy every tensor of the adapter into its place in a model that has the adapter's method attached.

    Raises AdapterError unless names and shapes are exactly those of the model's trained parameters.
    """
    parameters = model.trained()
    file = adapter.folder / "adapter.safetensors"
    if missing := sorted(parameters.keys() - adapter.tensors.keys()):
        raise AdapterError(f"{file}: {len(missing)} tensors are missing, such as {missing[0]!r}")
    if foreign := sorted(adapter.tensors.keys() - parameters.keys()):
        raise AdapterError(
            f"{file}: {len(foreign)} tensors have no place in the model, such as {foreign[0]!r}"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            tensor = adapter.tensors[name]
            if tensor.shape != parameter.shape:
                raise AdapterError(
                    f"{file}: {name!r} is {list(tensor.shape)}, but the base and adapter.json ask for "
                    f"{list(parameter.shape)}; wrong r, or wrong base"
                )
            parameter.copy_(tensor)


def load_start(adapter: Adapter, model: Model, method: Method, weights_hash: str) -> None:
    """Copy all of the adapter but its head into a model that has `method` attached: a warm start with a fresh head.

    Raises AdapterError unless it was trained on the same base (by `weights_hash`) with the same method, rank and alpha.
    """
    ours, theirs = method.options(), adapter.card.method
    for key in ("name", "r", "alpha"):
        if ours.get(key) != theirs.get(key):
            raise AdapterError(
                f"{adapter.folder}: cannot be the start: its method.{key} is {theirs.get(key)!r}, not {ours.get(key)!r}"
            )
    if adapter.card.base.weights_hash != weights_hash:
        raise AdapterError(
            f"{adapter.folder}: cannot be the start: trained on other weights ({adapter.card.base.id})"
        )
    head = {name for name, _ in model.head_parameters()}
    body = {name: p for name, p in model.trained().items() if name not in head}
    tensors = {name: t for name, t in adapter.tensors.items() if not model.family.is_head(name)}
    wrong = sorted(
        name
        for name in body.keys() | tensors.keys()
        if name not in body or name not in tensors or body[name].shape != tensors[name].shape
    )
    if wrong:
        raise AdapterError(
            f"{adapter.folder}: cannot be the start: {len(wrong)} tensors do not fit, such as {wrong[0]!r}; are "
            f"method.targets the same?"
        )
    with torch.no_grad():
        for name, parameter in body.items():
            parameter.copy_(tensors[name])


def model_config(adapter: Adapter, base: str, revision: str | None) -> PretrainedConfig:
    """The base's config with the adapter's task in it."""
    task = adapter.card.task
    num_labels = len(task.labels) if task.labels else (1 if task.output == "score" else None)
    return load_config(base, revision, num_labels=num_labels)


def method_of(adapter: Adapter) -> Method:
    """The method that adapter.json describes."""
    options = dict(adapter.card.method)
    name = options.pop("name", None)
    where = f"{adapter.folder / 'adapter.json'}: method"
    if name not in METHODS:
        raise AdapterError(f"{where}: {name!r} is not a method that this lorafit knows: {', '.join(METHODS)}")
    try:
        return METHODS[name].model_validate(
            {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        )
    except ValidationError as error:
        detail = error.errors()[0]
        raise AdapterError(f"{where}.{'.'.join(map(str, detail['loc']))}: {detail['msg']}") from None


def check_base(adapter: Adapter, *, base: str | None = None, force: bool = False) -> None:
    """The base must be the one that the adapter was trained on, by the hashes of its config and its weights.

    Raises AdapterError on a mismatch unless `force`.
    """
    known = adapter.card.base
    where = base or known.id
    revision = known.revision if base is None else None
    found = base_identity(where, revision, base_folder(where, revision))
    differs = [
        what
        for what in ("config", "weights")
        if getattr(found, f"{what}_hash") != getattr(known, f"{what}_hash")
    ]
    if differs and not force:
        raise AdapterError(
            f"{adapter.folder}: wrong base: the {' and '.join(differs)} of {where} "
            f"{'are' if len(differs) > 1 or differs == ['weights'] else 'is'} not what the adapter was trained on "
            f"({known.id}); name the right one with --base, or insist with --force"
        )
