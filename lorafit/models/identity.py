"""Which base is this? Hashes of its config and of its weights, independent of file layout and sharding."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lorafit.errors import NotFoundError
from lorafit.hashes import file_hash, joint_hash, remembered
from lorafit.models.files.stored import DTYPE_NAMES, Stored, stored_tensors, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BLOCK_BYTES = 4 << 20

# Keys of config.json that say where it came from or how it is run, not what it computes.
INCIDENTAL = {
    "_name_or_path",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "use_cache",
    "architectures",
    "id2label",
    "label2id",
}

# Settings of a tokenizer in memory that say where it came from.
_OF_FILES = (
    "name_or_path",
    "tokenizer_file",
    "vocab_file",
    "merges_file",
    "tokenizer_object",
    "tokenizer_class",
)

# What tokenizers of transformers are read from.
TOKENIZER_FILES = (
    "*token*",
    "*vocab*",
    "*merges*",
    "*.model",
    "*.spm",
    "*.bpe",
    "bpe.codes",
    "*.tiktoken",
    "*.jinja",
    "dict.txt",
    "emoji.json",
    "normalizer.json",
    "byte_maps.json",
    "word_*.json",
)


@dataclass(frozen=True)
class BaseIdentity:
    """Which base it is. Hashes are sha256 in hex; None where the folder lacks the file."""

    id: str
    revision: str | None
    config_hash: str | None
    weights_hash: str | None


def base_identity(base: str, revision: str | None, folder: Path) -> BaseIdentity:
    """The identity of the base in `folder`. A big base is hashed once, as long as its files stay the same."""
    return BaseIdentity(base, revision, config_hash(folder), weights_hash(folder))


def config_hash(folder: Path) -> str | None:
    """Over the keys of config.json that decide what is computed."""
    path = folder / "config.json"
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: value for key, value in config.items() if key not in INCIDENTAL}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise NotFoundError(f"{path}: not readable as JSON: {error}") from None
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def weights_hash(folder: Path) -> str | None:
    """Over all tensors, however they are spread over files."""
    try:
        files = weight_files(folder)
    except NotFoundError:
        return None
    return remembered(files, "tensors", lambda: _hash_tensors(files))


def tokenizer_hash(folder: Path) -> str | None:
    """sha256 over the names and bytes of the tokenizer's files; how the folder holds them matters."""
    found = {path for pattern in TOKENIZER_FILES for path in folder.glob(pattern) if path.is_file()}
    hashes = [f"{path.name} {file_hash(path)}" for path in sorted(found)]
    return joint_hash(hashes) if hashes else None


def loaded_tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """sha256 over everything that decides a tokenizer's ids, tokens that were added since among it.

    None for one that is written in Python, of which nobody knows what that is.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    backend.no_truncation()  # what the last call left; each call sets it anew
    backend.no_padding()
    told = {
        "class": f"{type(tokenizer).__module__}.{type(tokenizer).__qualname__}",
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "settings": {k: v for k, v in tokenizer.init_kwargs.items() if k not in _OF_FILES},
        "template": tokenizer.chat_template,
        "split": getattr(tokenizer, "split_special_tokens", False),
        "sides": [tokenizer.truncation_side, tokenizer.padding_side],
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode("utf-8", "surrogatepass"))
    digest.update(backend.to_str().encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _hash_tensors(files: list[Path]) -> str:
    """sha256 over the sorted digests of (name, dtype, shape, bytes): the same for one file and for many shards."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing leaves the interpreter to others
        digests = list(pool.map(_digest, stored_tensors(files)))
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _digest(stored: Stored) -> str:
    """A few megabytes at a time."""
    dtype = DTYPE_NAMES.get(stored.dtype, str(stored.dtype).removeprefix("torch."))
    digest = hashlib.sha256(json.dumps([stored.name, dtype, list(stored.shape)]).encode())
    step = max(_BLOCK_BYTES // max(stored.row_bytes, 1), 1)
    for start in range(0, stored.num_rows, step):
        rows = stored.read_rows(start, min(start + step, stored.num_rows))
        digest.update(rows.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
