"""Reading and writing safetensors files tensor by tensor, so that a model of any size passes through little memory.

The file format: 8 bytes little-endian header size, a JSON header {name: {dtype, shape, data_offsets}}, the bytes.
(https://huggingface.co/docs/safetensors)
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from lorafit.errors import NotFoundError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
_COPY_BYTES = 8 << 20


@dataclass(frozen=True)
class Stored:
    """A tensor that lies in a file (`begin`: absolute offset) or, from a pickled file, is memory-mapped by torch."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    file: Path
    begin: int = 0
    mapped: Tensor | None = None

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> Tensor:
        """A copy in memory."""
        if self.mapped is not None:
            return self.mapped.clone()
        with self.file.open("rb") as stream:
            stream.seek(self.begin)
            buffer = bytearray(self.num_bytes)
            stream.readinto(buffer)
        flat = torch.frombuffer(buffer, dtype=self.dtype) if buffer else torch.empty(0, dtype=self.dtype)
        return flat.view(self.shape)

    def copy_to(self, out: IO[bytes]) -> None:
        """Its bytes as they are, a few megabytes at a time."""
        if self.mapped is not None:
            out.write(_raw(self.mapped))
            return
        with self.file.open("rb") as stream:
            stream.seek(self.begin)
            left = self.num_bytes
            while left:
                chunk = stream.read(min(left, _COPY_BYTES))
                if not chunk:
                    raise NotFoundError(f"{self.file}: ends within {self.name!r}; the file is damaged")
                out.write(chunk)
                left -= len(chunk)


def stored_tensors(files: Sequence[Path]) -> Iterator[Stored]:
    """Every tensor of a checkpoint, in file order. Pickled files are read with `weights_only` and memory-mapped.

    Raises NotFoundError for a file that is damaged.
    """
    for file in files:
        yield from _from_safetensors(file) if file.suffix == ".safetensors" else _from_pickle(file)


def _from_safetensors(file: Path) -> Iterator[Stored]:
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            (header_size,) = struct.unpack("<Q", stream.read(8))
            if header_size > size - 8:
                raise ValueError("the header is longer than the file")
            header = json.loads(stream.read(header_size))
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            stored = Stored(
                name, DTYPES[entry["dtype"]], tuple(entry["shape"]), file, 8 + header_size + begin
            )
            if end - begin != stored.num_bytes or 8 + header_size + end > size:
                raise ValueError(f"{name!r} does not lie within the file")
            yield stored
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise NotFoundError(f"{file}: not a whole safetensors file: {error}") from None


def _from_pickle(file: Path) -> Iterator[Stored]:
    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises pickle, zip and runtime errors alike
        raise NotFoundError(
            f"{file}: cannot be read with weights_only: {str(error).splitlines()[0]}"
        ) from None
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tuple(tensor.shape))
        if place not in seen:  # a tied tensor is stored once
            seen.add(place)
            yield Stored(name, tensor.dtype, tuple(tensor.shape), file, mapped=tensor)


@dataclass(frozen=True)
class Outgoing:
    """A tensor to be written: `write` puts exactly its bytes into the stream."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    write: Callable[[IO[bytes]], None]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @staticmethod
    def copied(stored: Stored) -> Outgoing:
        """As it lies there."""
        return Outgoing(stored.name, stored.dtype, stored.shape, stored.copy_to)

    @staticmethod
    def made(name: str, dtype: torch.dtype, shape: tuple[int, ...], make: Callable[[], Tensor]) -> Outgoing:
        """Computed when its turn comes."""

        def write(out: IO[bytes]) -> None:
            tensor = make()
            assert (tensor.dtype, tuple(tensor.shape)) == (dtype, shape), (name, tensor.dtype, tensor.shape)
            out.write(_raw(tensor))

        return Outgoing(name, dtype, shape, write)


def write_file(path: Path, tensors: Sequence[Outgoing]) -> None:
    """One safetensors file, written front to back."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.num_bytes
        header[tensor.name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb", buffering=_COPY_BYTES) as out:
        out.write(struct.pack("<Q", len(encoded)) + encoded)
        for tensor in tensors:
            tensor.write(out)


def into_shards(tensors: Sequence[Outgoing], max_bytes: int) -> list[list[Outgoing]]:
    """Tensors in order, in files of at most `max_bytes` (a larger tensor has a file of its own)."""
    shards: list[list[Outgoing]] = [[]]
    size = 0
    for tensor in tensors:
        if shards[-1] and size + tensor.num_bytes > max_bytes:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor.num_bytes
    return shards


def write_sharded(folder: Path, tensors: Sequence[Outgoing], max_bytes: int) -> list[Path]:
    """model.safetensors, or model-00001-of-0000n.safetensors with their index, as transformers names them."""
    shards = into_shards(tensors, max_bytes)
    if len(shards) == 1:
        write_file(folder / "model.safetensors", shards[0])
        return [folder / "model.safetensors"]
    paths = [folder / f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    for path, shard in zip(paths, shards, strict=True):
        write_file(path, shard)
    index = {
        "metadata": {"total_size": sum(t.num_bytes for t in tensors)},
        "weight_map": {t.name: path.name for path, shard in zip(paths, shards, strict=True) for t in shard},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    return paths


def _raw(tensor: Tensor) -> memoryview:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data
