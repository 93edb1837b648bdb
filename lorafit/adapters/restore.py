"""Adapter folder + base -> the model as it was trained. Everything must fit, or nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import PretrainedConfig

from lorafit.adapters.folder import Adapter
from lorafit.errors import AdapterError
from lorafit.methods import METHODS, Method
from lorafit.models import Model, base_folder, base_identity, load_base, load_config


def trained_tensors(model: Model) -> dict[str, Tensor]:
    """A copy of all that trains, on the CPU, by parameter name: what training needs to go on."""
    return _copies(model.trained())


def finished_tensors(model: Model, method: Method) -> dict[str, Tensor]:
    """A copy of what training came to, on the CPU, by parameter name: the contents of adapter.safetensors."""
    return _copies(method.saved_tensors(model))


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


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
    method = method_of(adapter)
    method.attach(model, torch.Generator().manual_seed(0))
    method.finish(model)
    load_tensors(adapter, model)
    model.net.eval()
    return model


def load_tensors(adapter: Adapter, model: Model) -> None:
    """Copy every tensor of the adapter into its place in a model with the adapter's method attached and finished.

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
