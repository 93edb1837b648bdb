"""What was found out about an architecture by trying it, kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from transformers import PretrainedConfig

from lorafit.errors import LorafitError
from lorafit.files import JsonObject, cache_folder, write_json
from lorafit.hashes import source_hash
from lorafit.models.identity import INCIDENTAL

_found: dict[str, str] = {}


def verdict(question: str, config: PretrainedConfig, find_out: Callable[[], str]) -> str:
    """The answer to `question` about nets of that `config`, found out once with every version of the libraries.

    A cache that cannot be read or written is done without.
    """
    key = _key(question, config)
    if key not in _found:
        path = _folder() / f"{key}.json"
        answer = _read(path)
        if answer is None:
            answer = find_out()
            _write(path, {"question": question, "architecture": config.model_type, "answer": answer})
        _found[key] = answer
    return _found[key]


def _key(question: str, config: PretrainedConfig) -> str:
    told = [
        question,
        torch.__version__,
        transformers.__version__,
        source_hash("models", "decoding"),
        type(config).__name__,
    ]
    document = json.dumps([*told, _computing(config.to_dict())], sort_keys=True, default=str)
    return hashlib.sha256(document.encode()).hexdigest()[:32]


def _computing(values: JsonObject) -> JsonObject:
    """What decides what a net computes, here and in nested configs."""
    return {
        key: _computing(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if key not in INCIDENTAL
    }


def _folder() -> Path:
    return cache_folder() / "architectures"


def _read(path: Path) -> str | None:
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))["answer"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(answer)


def _write(path: Path, entry: JsonObject) -> None:
    with contextlib.suppress(LorafitError):
        write_json(path, entry)
