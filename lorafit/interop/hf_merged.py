"""Adapter + base -> a plain Hugging Face model folder, streamed: only adapted tensors are touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig

from lorafit.adapters import Adapter
from lorafit.adapters.restore import check_tensors, method_of, model_config
from lorafit.errors import AdapterError, LorafitError
from lorafit.interop.safetensors_stream import Outgoing, write_file
from lorafit.methods import Change
from lorafit.models import Model, Stored, base_folder, skeleton, stored_tensors, weight_files

# Weights in any format, and their indices: what a merge writes anew.
_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.index.json", "*.h5", "*.msgpack", "*.ot", "*.pt", "*.gguf")
_SINGLE = "model.safetensors"


@dataclass(frozen=True)
class MergeSource:
    """What there is to merge; no weight is read yet.

    `names`: name of a tensor in its file -> its name in the model. `aliases`: every name of a parameter -> all of its
    names; a tied parameter has several.
    """

    adapter: Adapter
    folder: Path
    config: PretrainedConfig
    shape: Model
    changes: dict[str, Change]
    stored: list[Stored]
    names: dict[str, str]
    aliases: dict[str, tuple[str, ...]]

    @staticmethod
    def of(adapter: Adapter, base: str, revision: str | None) -> MergeSource:
        """Raises NotMergeableError for a method that changes more than weights, AdapterError for a misfit."""
        folder = base_folder(base, revision)
        config = model_config(adapter, base, revision)
        shape = skeleton(config, adapter.card.task.output)
        aliases = {name: tuple(group) for group in parameter_names(shape).values() for name in group}
        method = method_of(adapter)
        method.attach_finished(shape)
        check_tensors(adapter, shape.trained())
        changes = method.changed_weights(shape, adapter.tensors)
        stored = list(stored_tensors(weight_files(folder)))
        names = stored_names([tensor.name for tensor in stored], shape, set(aliases))
        return MergeSource(adapter, folder, config, shape, changes, stored, names, aliases)

    @cached_property
    def by_name(self) -> dict[str, Stored]:
        """The base's tensors by their names in the model."""
        return {self.names[tensor.name]: tensor for tensor in self.stored}

    def source_of(self, name: str) -> Stored | None:
        """Where the base's value of a parameter lies, under any of its names."""
        return next((self.by_name[n] for n in self.all_names(name) if n in self.by_name), None)

    def all_names(self, name: str) -> tuple[str, ...]:
        """Every name of the parameter of that name."""
        return self.aliases.get(name, (name,))

    def trained_value(self, name: str) -> Tensor | None:
        """The tensor that replaces a parameter whole, where it was trained itself, under any of its names."""
        trained = (n for n in self.all_names(name) if n in self.changes and n in self.adapter.tensors)
        return next((self.adapter.tensors[n] for n in trained), None)

    def breaks_tie(self, name: str) -> bool:
        """Whether a tied parameter falls apart. An adapter belongs to a module: of two that share a weight, merging
        changes the one and not the other."""
        names = self.all_names(name)
        return len(names) > 1 and self.trained_value(name) is None and any(n in self.changes for n in names)

    @cached_property
    def untied(self) -> set[str]:
        """Names that must get a value of their own, since what they were tied to changes otherwise."""
        return {alias for name in self.changes if self.breaks_tie(name) for alias in self.all_names(name)}


def stored_names(names: list[str], shape: Model, known: set[str]) -> dict[str, str]:
    """File name of a tensor -> its name in the model: checkpoints of bare backbones lack the prefix."""
    prefix = shape.net.base_model_prefix
    return {
        name: name if name in known or f"{prefix}.{name}" not in known else f"{prefix}.{name}"
        for name in names
    }


def parameter_names(model: Model) -> dict[int, list[str]]:
    """id() of each parameter -> all of its names; a tied one has several."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.net.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return names


def write_merged(
    source: MergeSource, folder: Path, *, dtype: torch.dtype | None, max_shard_bytes: int | None
) -> list[Path]:
    """Write the merged model into an existing empty folder: weights, config, and every other file of the base.

    Arithmetic in float32 and one rounding at the end. `dtype` None keeps each tensor's own; `max_shard_bytes` None
    keeps the base's division into files. Raises LorafitError, before anything is written, where the disk is too full.
    """
    files = _in_files(list(_outgoing(source, dtype)), max_shard_bytes)
    others = _other_files(source.folder)
    _check_space(folder, sum(t.num_bytes for file in files.values() for t in file), others)
    for name, tensors in files.items():
        write_file(folder / name, tensors)
    if len(files) > 1:
        _write_index(folder, files)
    for file in others:
        shutil.copyfile(file, folder / file.name)
    _write_config(source, folder, dtype)
    return [folder / name for name in files]


def _outgoing(source: MergeSource, dtype: torch.dtype | None) -> Iterator[tuple[str, Outgoing]]:
    """Every tensor of the result with the name of the base's file it is to stand in, in order."""
    written: set[str] = set()
    last = ""
    for stored in source.stored:
        name, last = source.names[stored.name], _file_name(stored.file)
        if written.intersection(source.all_names(name)) and not source.breaks_tie(name):
            continue  # a tied tensor that the base's file holds twice
        written.add(name)
        yield last, _made(source, name, stored, stored.name, dtype)
    for name in sorted((source.changes.keys() | source.untied) - written):
        if source.breaks_tie(name) or not written.intersection(source.all_names(name)):
            yield last, _made(source, name, source.source_of(name), name, dtype)


def _made(
    source: MergeSource, name: str, stored: Stored | None, new_name: str, dtype: torch.dtype | None
) -> Outgoing:
    """One tensor: a trained parameter whole, else the stored one with its change. `stored` None: a fresh head."""
    kept = stored.dtype if stored is not None else torch.float32
    target = dtype if dtype is not None and kept.is_floating_point else kept
    value = source.trained_value(name)
    if value is not None:
        return Outgoing(new_name, target, tuple(value.shape), value=value)
    if stored is None:
        raise AdapterError(f"{source.adapter.folder}: adapts {name!r}, which is not among the base's weights")
    return Outgoing(new_name, target, stored.shape, stored, source.changes.get(name))


def _file_name(file: Path) -> str:
    """pytorch_model-00001-of-00002.bin -> model-00001-of-00002.safetensors"""
    return file.with_suffix(".safetensors").name.removeprefix("pytorch_")


def _in_files(tensors: list[tuple[str, Outgoing]], max_shard_bytes: int | None) -> dict[str, list[Outgoing]]:
    """As the base has them; or in order, in files of at most `max_shard_bytes` (a larger tensor has its own)."""
    files: dict[str, list[Outgoing]] = {}
    if max_shard_bytes is None:
        for file, tensor in tensors:
            files.setdefault(file, []).append(tensor)
        return files
    shards: list[list[Outgoing]] = [[]]
    size = 0
    for _, tensor in tensors:
        if shards[-1] and size + tensor.num_bytes > max_shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor.num_bytes
    if len(shards) == 1:
        return {_SINGLE: shards[0]}
    return {
        f"model-{i:05d}-of-{len(shards):05d}.safetensors": shard for i, shard in enumerate(shards, start=1)
    }


def _write_index(folder: Path, files: dict[str, list[Outgoing]]) -> None:
    index = {
        "metadata": {"total_size": sum(t.num_bytes for tensors in files.values() for t in tensors)},
        "weight_map": {t.name: name for name, tensors in files.items() for t in tensors},
    }
    (folder / f"{_SINGLE}.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _other_files(source: Path) -> list[Path]:
    """Tokenizer, generation settings, licence...: all but weights, config and hidden files."""
    return [
        file
        for file in sorted(source.iterdir())
        if file.is_file()
        and not any(file.match(pattern) for pattern in _WEIGHT_FILES)
        and file.name not in ("config.json", "merge.json")
        and not file.name.startswith(".")
    ]


def _check_space(folder: Path, num_bytes: int, others: list[Path]) -> None:
    needed = num_bytes + sum(file.stat().st_size for file in others) + (1 << 20)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise LorafitError(
            f"{folder.parent}: the merged model needs {needed / 1e9:.2f} GB, but only {free / 1e9:.2f} GB are free; "
            f"nothing was written"
        )


def _write_config(source: MergeSource, folder: Path, dtype: torch.dtype | None) -> None:
    config: dict[str, Any] = json.loads((source.folder / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = [type(source.shape.net).__name__]
    if source.untied:
        config["tie_word_embeddings"] = False
    if dtype is not None:
        config.pop("torch_dtype", None)
        config["dtype"] = str(dtype).removeprefix("torch.")
    if source.shape.head.reads == "last":  # it looks for the last token that is not padding
        text_config = source.shape.family.text_config(source.config)
        config.get("text_config", config)["pad_token_id"] = text_config.pad_token_id
    task = source.adapter.card.task
    if task.labels:
        config["id2label"] = {str(i): label for i, label in enumerate(task.labels)}
        config["label2id"] = {label: i for i, label in enumerate(task.labels)}
    elif task.output == "score":
        config |= {"id2label": {"0": "score"}, "label2id": {"score": 0}, "problem_type": "regression"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
