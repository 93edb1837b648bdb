"""Adapter + base -> a plain Hugging Face model folder, streamed: only adapted tensors are touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lorafit.adapters import Adapter
from lorafit.adapters.restore import method_of, model_config
from lorafit.errors import AdapterError
from lorafit.interop.safetensors_stream import Outgoing, Stored, stored_tensors, write_sharded
from lorafit.models import base_folder, skeleton
from lorafit.models.identity import weight_files

# Weights in any format, and their indices: what a merge writes anew.
_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.index.json", "*.h5", "*.msgpack", "*.ot", "*.pt", "*.gguf")


def write_merged(
    adapter: Adapter,
    base: str,
    revision: str | None,
    folder: Path,
    *,
    dtype: torch.dtype | None,
    max_shard_bytes: int,
) -> None:
    """Write the merged model into an existing empty folder: weights, config, and every other file of the base.

    Arithmetic in float32 and one rounding at the end. `dtype` None keeps each tensor's own.
    Raises NotMergeableError where the method changes more than weights, AdapterError where a tensor has no place.
    """
    source = base_folder(base, revision)
    config = model_config(adapter, base, revision)
    shape = skeleton(config, adapter.card.task.output)
    method = method_of(adapter)
    method.attach(shape)
    changes = method.changed_weights(shape, adapter.tensors)
    stored = list(stored_tensors(weight_files(source)))
    names = _stored_names(stored, shape.net.base_model_prefix, set(shape.net.state_dict()))
    outgoing = list(_outgoing(stored, changes, names, dtype))
    outgoing += _added(adapter, changes, set(names.values()), dtype)
    write_sharded(folder, outgoing, max_shard_bytes)
    _copy_other_files(source, folder)
    _write_config(source, folder, type(shape.net).__name__, dtype, adapter)


def _stored_names(stored: list[Stored], prefix: str, known: set[str]) -> dict[str, str]:
    """File name of a tensor -> its name in the model: checkpoints of bare backbones lack the prefix."""
    names = {}
    for tensor in stored:
        with_prefix = f"{prefix}.{tensor.name}"
        names[tensor.name] = tensor.name if tensor.name in known or with_prefix not in known else with_prefix
    return names


Change = Callable[[Tensor], Tensor]


def _outgoing(
    stored: list[Stored], changes: dict[str, Change], names: dict[str, str], dtype: torch.dtype | None
) -> Iterator[Outgoing]:
    for tensor in stored:
        target = dtype if dtype is not None and tensor.dtype.is_floating_point else tensor.dtype
        change = changes.get(names[tensor.name])
        if change is None and target == tensor.dtype:
            yield Outgoing.copied(tensor)
        else:
            yield Outgoing.made(tensor.name, target, tensor.shape, _maker(tensor, change, target))


def _maker(tensor: Stored, change: Change | None, dtype: torch.dtype) -> Callable[[], Tensor]:
    def make() -> Tensor:
        value = tensor.read()
        return (change(value.float()) if change is not None else value).to(dtype)

    return make


def _added(
    adapter: Adapter, changes: dict[str, Change], present: set[str], dtype: torch.dtype | None
) -> list[Outgoing]:
    """Trained tensors that the base's files do not hold: a fresh classification head."""
    added = []
    for name in sorted(changes.keys() - present):
        tensor = adapter.tensors.get(name)
        if tensor is None:
            raise AdapterError(f"{adapter.folder}: adapts {name!r}, which is not among the base's weights")
        value = tensor.to(dtype or tensor.dtype)
        added.append(Outgoing.made(name, value.dtype, tuple(value.shape), partial(_itself, value)))
    return added


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def _copy_other_files(source: Path, folder: Path) -> None:
    for file in sorted(source.iterdir()):
        is_weight = any(file.match(pattern) for pattern in _WEIGHT_FILES)
        if file.is_file() and not is_weight and file.name != "config.json" and not file.name.startswith("."):
            shutil.copyfile(file, folder / file.name)


def _write_config(
    source: Path, folder: Path, architecture: str, dtype: torch.dtype | None, adapter: Adapter
) -> None:
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = [architecture]
    if dtype is not None:
        config.pop("torch_dtype", None)
        config["dtype"] = str(dtype).removeprefix("torch.")
    if labels := adapter.card.task.labels:
        config["id2label"] = {str(i): label for i, label in enumerate(labels)}
        config["label2id"] = {label: i for i, label in enumerate(labels)}
    elif adapter.card.task.output == "score":
        config |= {"id2label": {"0": "score"}, "label2id": {"score": 0}, "problem_type": "regression"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
