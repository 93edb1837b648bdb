"""Which base is this? Hashes of its config and of its weights, independent of file layout and sharding."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from lorafit.errors import NotFoundError

# Keys of config.json that say where it came from or how it is run, not what it computes.
_INCIDENTAL = {
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
    """What an adapter remembers of its base. Hashes are sha256 in hex."""

    id: str
    revision: str | None
    config_hash: str
    weights_hash: str


def base_identity(base: str, revision: str | None, folder: Path) -> BaseIdentity:
    """The identity of the base in `folder`. A big base is hashed once: cached by path, size and mtime."""
    return BaseIdentity(base, revision, _config_hash(folder), _weights_hash(folder))


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights: safetensors (sharded or not), else the pickled ones.

    Raises NotFoundError when there are none.
    """
    for single, pattern in (
        ("model.safetensors", "model-*.safetensors"),
        ("pytorch_model.bin", "pytorch_model-*.bin"),
    ):
        if (folder / single).is_file():
            return [folder / single]
        if shards := sorted(folder.glob(pattern)):
            return shards
    raise NotFoundError(f"{folder}: no weights there (model.safetensors or pytorch_model.bin)")


def _config_hash(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in config.items() if key not in _INCIDENTAL}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _weights_hash(folder: Path) -> str:
    files = weight_files(folder)
    key = json.dumps([[str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns] for f in files])
    cache = _HashCache()
    known = cache.get(key)
    if known is None:
        known = _hash_tensors(files)
        cache.put(key, known)
    return known


def _hash_tensors(files: list[Path]) -> str:
    """sha256 over the sorted digests of (name, dtype, shape, bytes): the same for one file and for many shards."""
    digests: list[str] = []
    for file in files:
        tensors = _safetensors_digests(file) if file.suffix == ".safetensors" else _pickle_digests(file)
        digests.extend(tensors)
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _safetensors_digests(file: Path) -> Iterator[str]:
    """Straight from the file's bytes, without making tensors of them."""
    with file.open("rb") as stream:
        (header_size,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(header_size))
        start = 8 + header_size
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            digest = hashlib.sha256(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
            begin, end = entry["data_offsets"]
            stream.seek(start + begin)
            left = end - begin
            while left and (chunk := stream.read(min(left, 1 << 20))):
                digest.update(chunk)
                left -= len(chunk)
            yield digest.hexdigest()


_SAFETENSORS_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
}


def _pickle_digests(file: Path) -> Iterator[str]:
    for name, tensor in torch.load(file, map_location="cpu", weights_only=True, mmap=True).items():
        dtype = _SAFETENSORS_NAMES.get(tensor.dtype, str(tensor.dtype).removeprefix("torch."))
        digest = hashlib.sha256(json.dumps([name, dtype, list(tensor.shape)]).encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
        yield digest.hexdigest()


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
