"""Adapter folder + base -> the model as it was trained. Everything must fit, or nothing is loaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError
from torch import Tensor

from lorafit import lora
from lorafit.adapters.card import BaseCard
from lorafit.adapters.fingerprint import Fingerprint, answers, probe_inputs, take_fingerprint
from lorafit.adapters.folder import TENSOR_FILE, Adapter
from lorafit.data.places import row_sources
from lorafit.errors import (
    AdapterError,
    DamagedError,
    NotFoundError,
    SetArgument,
    WrongBaseError,
    WrongScaleError,
)
from lorafit.files import absolute_path, local_path
from lorafit.methods import METHODS, Method
from lorafit.models import BaseIdentity, Model, base_folder, base_identity
from lorafit.recipe import DataSection
from lorafit.tasks import Task, read_task
from lorafit.tasks.registry import layout_of

if TYPE_CHECKING:  # checking an adapter needs no transformers
    from transformers import PretrainedConfig


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
    return put_on(adapter, bare_base(adapter, base=base, force=force))


def bare_base(adapter: Adapter, *, base: str | None = None, force: bool = False) -> Model:
    """The base that the adapter belongs to, without it. Raises as `restore`."""
    from lorafit.models import load_base, quantize

    where, revision = where_base(adapter, base)
    check_base(adapter, base=base, force=force)
    model = load_base(model_config(adapter, where, revision), where, revision, task_of(adapter).output)
    if adapter.card.base.quantize is not None:
        quantize(model)
    return model


def put_on(adapter: Adapter, model: Model) -> Model:
    """A bare base, changed in place: with the adapter, in eval mode. Raises AdapterError where they do not fit."""
    method_of(adapter).attach_finished(model)
    load_tensors(adapter, model)
    model.net.eval()
    return model


def put_beside(adapter: Adapter, bare: Model) -> Model:
    """`put_on` for one of several adapters: `bare` stays bare, and all weights but those that the adapter replaces are
    in memory once. A module of which it replaces a part has a copy of all of it."""
    copied = {
        id(parameter)
        for name, module in bare.net.named_modules()
        if (own := dict(module.named_parameters(name, recurse=False))).keys() & adapter.tensors.keys()
        for parameter in own.values()
    }
    shared = {id(parameter): parameter for parameter in bare.net.parameters() if id(parameter) not in copied}
    return put_on(adapter, replace(bare, net=copy.deepcopy(bare.net, dict[int, object](shared))))


def fingerprint_of(adapter: Adapter) -> Fingerprint:
    """What base and adapter answer now; later loads are compared with it.

    Raises AdapterError where they do not fit, NotFoundError where the base's weights are not here.
    """
    model = bare_base(adapter)
    inputs = probe_inputs(model.vocab_size)
    bare = answers(model, inputs)
    return take_fingerprint(put_on(adapter, model), inputs, bare)


def where_base(adapter: Adapter, base: str | None) -> tuple[str, str | None]:
    """Path or id, and revision, of the base: the one asked for, else the one trained on.

    A relative path that leads nowhere from here leads from where it was written; of two folders the one with the
    recorded hashes is the base. Raises NotFoundError where it is in neither place.
    """
    known = adapter.card.base
    if base is not None:
        return base, None
    there = adapter.card.paths.get(known.id)
    if there is None or absolute_path(known.id) == there:
        return known.id, known.revision
    folders = [path for path in (known.id, there) if local_path(path).is_dir()]
    if not folders:
        raise NotFoundError(
            f"{adapter.folder}: its base {known.id} is neither here nor where it was ({there})",
            SetArgument("base", note="where it is now"),
        )
    same = [path for path in folders if not _differing(known, path, None)]
    return (same or folders)[0], None


def data_of(adapter: Adapter) -> DataSection:
    """Its [data]; a relative path that leads nowhere from here leads from where it was written.

    Where both lead to rows, those with the recorded hashes are meant.
    """
    card = adapter.card
    known = {name: card.paths[name] for name in card.data.paths() if name in card.paths}
    there = card.data.moved(known)
    here = card.data.moved({name: path for name, path in known.items() if not local_path(name).exists()})
    if all(absolute_path(name) == path for name, path in known.items()):
        return card.data
    return here if _has_recorded_rows(adapter, here) or not _has_recorded_rows(adapter, there) else there


def _has_recorded_rows(adapter: Adapter, data: DataSection) -> bool:
    """Whether the rows of every split that is there are those that the adapter was trained with."""
    task, recorded = task_of(adapter), adapter.card.provenance.data
    sources = row_sources(data, layout_of(task.name), task.key)
    at_hand = {split: source for split, source in sources.items() if source.at_hand()}
    return all(
        source.identity() == recorded.get(split, source.identity()) for split, source in at_hand.items()
    )


def load_tensors(adapter: Adapter, model: Model) -> None:
    """Copy every tensor of the adapter into its place in a model with the adapter's method attached and finished.

    Raises AdapterError unless names, dtypes and shapes are exactly those of the model's trained parameters.
    """
    check_tensors(adapter, model)
    with torch.no_grad():
        for name, parameter in model.trained().items():
            parameter.copy_(adapter.tensors[name])


def check_tensors(adapter: Adapter, model: Model) -> None:
    """Every tensor must have its place among what trains in `model` and fill it, and none may stay empty.

    `model` may be a shape; the adapter's method is attached to it and finished.
    """
    file, parameters = adapter.folder / TENSOR_FILE, model.trained()
    if missing := sorted(parameters.keys() - adapter.tensors.keys()):
        raise DamagedError(f"{file}: {len(missing)} tensors are missing, such as {missing[0]!r}")
    if foreign := sorted(adapter.tensors.keys() - parameters.keys()):
        raise DamagedError(
            f"{file}: {len(foreign)} tensors have no place in the model, such as {foreign[0]!r}"
        )
    for name, parameter in parameters.items():
        tensor = adapter.tensors[name]
        if tensor.shape != parameter.shape:
            raise _misfit(file, name, tensor, parameter, _rank_axis(model, name))
        if tensor.dtype != torch.float32:
            raise DamagedError(f"{file}: {name!r} is {tensor.dtype}; trained tensors are float32")


def _misfit(file: Path, name: str, tensor: Tensor, parameter: Tensor, rank_axis: int | None) -> AdapterError:
    """Wrong r where only the rank differs, else another base."""
    differing = [
        i for i, sizes in enumerate(zip(tensor.shape, parameter.shape, strict=False)) if len({*sizes}) > 1
    ]
    only_rank = tensor.ndim == parameter.ndim and differing == [rank_axis]
    kind = WrongScaleError if only_rank else WrongBaseError
    return kind(
        f"{file}: {name!r} is {list(tensor.shape)}, but the base and adapter.json ask for {list(parameter.shape)}; "
        f"{'wrong r' if only_rank else 'wrong base'}"
    )


def _rank_axis(model: Model, name: str) -> int | None:
    """The axis of a parameter along which the rank of its LoRA layer runs; None where it lies in no such layer."""
    module, _, key = name.rpartition(".")
    layer = lora.adapted_layers(model.net).get(module)
    return layer.rank_axes().get(key) if layer is not None else None


def model_config(adapter: Adapter, base: str, revision: str | None) -> PretrainedConfig:
    """The base's config with the adapter's task in it."""
    from lorafit.models import load_config, load_tokenizer, reads_last_token, set_pad_token

    task = task_of(adapter)
    config = load_config(base, revision, num_labels=task.num_outputs, tokens=task.tokens)
    if reads_last_token(config, task.output):
        set_pad_token(config, load_tokenizer(base, revision))
    return config


def task_of(adapter: Adapter) -> Task:
    """The task that adapter.json describes."""
    try:
        return read_task(adapter.card.task)
    except ValueError as error:
        raise AdapterError(f"{adapter.folder / 'adapter.json'}: {error}") from None


def method_of(adapter: Adapter) -> Method:
    """The method that adapter.json describes."""
    options = dict(adapter.card.method)
    name = options.pop("name", None)
    where = f"{adapter.folder / 'adapter.json'}: method"
    if not isinstance(name, str) or name not in METHODS:
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

    A hash that is not known, on either side, refuses nothing. Raises WrongBaseError on a mismatch unless `force`.
    """
    if force:
        return
    known = adapter.card.base
    where, revision = where_base(adapter, base)
    if differing := _differing(known, where, revision):
        raise WrongBaseError(
            f"{adapter.folder}: wrong base: the {' and '.join(differing)} of {where} "
            f"{'is' if differing == ['config'] else 'are'} not what the adapter was trained on "
            f"({known.id})",
            SetArgument("base", note="the right one"),
            SetArgument("force", True, "uses this one nevertheless"),
        )


def _differing(known: BaseCard, where: str, revision: str | None) -> list[str]:
    """In what a base is not the one that is known. A hash that is not known, on either side, differs from none."""
    if known.config_hash is None and known.weights_hash is None:
        return []
    return differing(known, base_identity(where, revision, base_folder(where, revision)))


def differing(known: BaseCard | BaseIdentity, found: BaseCard | BaseIdentity) -> list[str]:
    """In what two bases differ: "config", "weights". A hash that is not known, on either side, differs from none."""
    hashes = {
        "config": (found.config_hash, known.config_hash),
        "weights": (found.weights_hash, known.weights_hash),
    }
    return [what for what, (now, then) in hashes.items() if now and then and now != then]
