"""Writing a Hugging Face model folder, streamed: only changed tensors are touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from lorafit.adapters.restore import task_of
from lorafit.errors import LorafitError
from lorafit.files import JsonObject
from lorafit.format import size
from lorafit.interop.models.chat_files import write_chat_files
from lorafit.interop.models.safetensors_stream import Outgoing, Streamed, Whole, write_file
from lorafit.interop.models.source import MergeSource
from lorafit.models import Stored, tables_with_rows

# Weights in any format, and their indices: what a merge writes anew.
_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.index.json", "*.h5", "*.msgpack", "*.ot", "*.pt", "*.gguf")
_SINGLE = "model.safetensors"


def write_folder(
    source: MergeSource, folder: Path, *, dtype: torch.dtype | None, max_shard_bytes: int | None
) -> list[Path]:
    """Write weights, config, and every other file of the base into an existing empty folder (see ModelWriter.write)."""
    files = _in_files(list(outgoing(source, dtype)), max_shard_bytes)
    others = _other_files(source.folder)
    _check_space(folder, sum(t.num_bytes for file in files.values() for t in file), others)
    for name, tensors in files.items():
        write_file(folder / name, tensors)
    if len(files) > 1:
        _write_index(folder, files)
    for file in others:
        shutil.copyfile(file, folder / file.name)
    _write_config(source, folder, dtype)
    if source.shape.head.reads == "last":
        _let_tokenizer_pad(folder, _pad_id(source))
    write_chat_files(source, folder)
    return [folder / name for name in files]


def outgoing(source: MergeSource, dtype: torch.dtype | None) -> Iterator[tuple[str, Outgoing]]:
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
    """One tensor: its replacement where it has one, else the stored one with its change."""
    own = stored.dtype if stored is not None else torch.float32  # a fresh head is not in the base's files
    target = dtype if dtype is not None and own.is_floating_point else own
    change = source.change_of(name)
    replacement = change.replacement if change is not None else None
    if replacement is not None:
        return Whole(new_name, target, replacement)
    assert stored is not None, f"{name}: the source has every weight that is added to"
    return Streamed(new_name, target, stored, change)


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
            f"{folder.parent}: the merged model needs {size(needed)}, but only {size(free)} are free; "
            f"nothing was written"
        )


def _write_config(source: MergeSource, folder: Path, dtype: torch.dtype | None) -> None:
    config: JsonObject = json.loads((source.folder / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = [type(source.shape.net).__name__]
    for key, value in source.shape.family.config_aliases.items():
        config.setdefault(key, value(source.config))
    if source.untied or getattr(source.config, "tie_word_embeddings", None) is False:
        config["tie_word_embeddings"] = False
    if dtype is not None:
        config.pop("torch_dtype", None)
        config["dtype"] = str(dtype).removeprefix("torch.")
    if source.shape.head.reads == "last":  # it looks for the last token that is not padding
        config.get("text_config", config)["pad_token_id"] = _pad_id(source)
    for _, table in tables_with_rows(source.shape.net):
        config.get("text_config", config)["vocab_size"] = table.num_rows
    task = task_of(source.adapter)
    if task.labels:
        config["id2label"] = {str(i): label for i, label in enumerate(task.labels)}
        config["label2id"] = {label: i for i, label in enumerate(task.labels)}
        kind = "multi_label" if task.output == "labels" else "single_label"
        config["problem_type"] = f"{kind}_classification"
    elif task.output == "score":
        config |= {"id2label": {"0": "score"}, "label2id": {"score": 0}, "problem_type": "regression"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _pad_id(source: MergeSource) -> int:
    return int(source.shape.family.text_config(source.config).pad_token_id)


def _let_tokenizer_pad(folder: Path, pad_id: int) -> None:
    """A tokenizer without a pad token, as GPT-2 has it, cannot make batches: it gets the one that the model knows."""
    from lorafit.models import load_tokenizer

    tokenizer = load_tokenizer(str(folder))
    if tokenizer.pad_token_id == pad_id:
        return
    path = folder / "tokenizer_config.json"
    settings: JsonObject = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    settings["pad_token"] = tokenizer.convert_ids_to_tokens(pad_id)
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
