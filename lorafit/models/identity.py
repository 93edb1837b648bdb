"""Which base is this? Hashes of its config and of its weights, independent of file layout and sharding."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from lorafit.errors import NotFoundError
from lorafit.models.stored import DTYPE_NAMES, Stored, stored_tensors, weight_files

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


@dataclass(frozen=True)
class BaseIdentity:
    """What an adapter remembers of its base. Hashes are sha256 in hex; None where the folder lacks the file."""

    id: str
    revision: str | None
    config_hash: str | None
    weights_hash: str | None


def base_identity(base: str, revision: str | None, folder: Path) -> BaseIdentity:
    """The identity of the base in `folder`. A big base is hashed once: cached by path, size and mtime."""
    return BaseIdentity(base, revision, _config_hash(folder), _weights_hash(folder))


def _config_hash(folder: Path) -> str | None:
    path = folder / "config.json"
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: value for key, value in config.items() if key not in INCIDENTAL}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise NotFoundError(f"{path}: not readable as JSON: {error}") from None
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _weights_hash(folder: Path) -> str | None:
    try:
        files = weight_files(folder)
    except NotFoundError:
        return None
    key = json.dumps([[str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns] for f in files])
    cache = _HashCache()
    known = cache.get(key)
    if known is None:
        known = _hash_tensors(files)
        cache.put(key, known)
    return known


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


class _HashCache:
    """{files -> hash} in the user's cache folder; a cache that cannot be read or written is done without."""

    def __init__(self) -> None:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self.path = Path(root) / "lorafit" / "base_hashes.json"

    def get(self, key: str) -> str | None:
        return self._read().get(key)

    def put(self, key: str, value: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps(self._read() | {key: value}, indent=0))
            temporary.replace(self.path)
        except OSError:
            pass

    def _read(self) -> dict[str, str]:
        try:
            return dict(json.loads(self.path.read_text()))
        except (OSError, ValueError):
            return {}
