"""The weights of a base as they lie in its files: read, copied or mapped tensor by tensor, never all at once.

A safetensors file: 8 bytes little-endian header size, a JSON header {name: {dtype, shape, data_offsets}}, the bytes.
(https://huggingface.co/docs/safetensors)
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from lorafit.errors import NotFoundError, reason_of
from lorafit.models.files.pickled import read_pickled

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
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Stored:
    """A tensor in a file. `begin`: its absolute offset; a pickled file's tensors are mapped by torch instead."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    file: Path
    begin: int = 0
    mapped: Tensor | None = field(default=None, compare=False)

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def num_rows(self) -> int:
        """Along the first dimension; a scalar is one row."""
        return self.shape[0] if self.shape else 1

    @property
    def row_bytes(self) -> int:
        return self.num_bytes // max(self.num_rows, 1)

    def read(self) -> Tensor:
        """A copy of the whole in memory."""
        return self.read_rows(0, self.num_rows).view(self.shape)

    def read_rows(self, start: int, stop: int) -> Tensor:
        """A copy of some rows in memory.  [stop - start, ...]"""
        shape = (stop - start, *self.shape[1:])
        if self.mapped is not None:
            return self.mapped.reshape(self.num_rows, *self.shape[1:])[start:stop].clone()
        buffer = bytearray((stop - start) * self.row_bytes)
        with self.file.open("rb") as stream:
            stream.seek(self.begin + start * self.row_bytes)
            if stream.readinto(buffer) != len(buffer):
                raise NotFoundError(f"{self.file}: ends within {self.name!r}; the file is damaged")
        return (
            torch.frombuffer(buffer, dtype=self.dtype).view(shape)
            if buffer
            else torch.empty(shape, dtype=self.dtype)
        )


@dataclass(frozen=True)
class MappedFile:
    """A safetensors file mapped into memory: its tensors cost memory only while they are used."""

    path: Path

    @cached_property
    def _map(self) -> mmap.mmap:
        with self.path.open("rb") as stream:
            # Private and thus writable, as torch wants it; nothing is ever written.
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)

    def view(self, stored: Stored) -> Tensor:
        """The tensor itself, not a copy."""
        if not stored.num_bytes or stored.begin % stored.dtype.itemsize:
            return stored.read()
        count = math.prod(stored.shape)
        flat = torch.frombuffer(self._map, dtype=stored.dtype, count=count, offset=stored.begin)
        return flat.view(stored.shape)

    def release(self, stored: Stored) -> None:
        """Give the memory behind a view back; the next use reads the file again."""
        if hasattr(mmap, "MADV_DONTNEED") and stored.num_bytes:
            page = mmap.PAGESIZE
            start = stored.begin // page * page
            self._map.madvise(mmap.MADV_DONTNEED, start, stored.begin + stored.num_bytes - start)


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


def stored_tensors(files: Sequence[Path]) -> Iterator[Stored]:
    """Every tensor of a checkpoint, in file order. Pickled files are read with `weights_only` and memory-mapped.

    Raises NotFoundError for a file that is damaged.
    """
    for file in files:
        yield from _from_safetensors(file) if file.suffix == ".safetensors" else _from_pickle(file)


def _from_safetensors(file: Path) -> list[Stored]:
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            (header_size,) = struct.unpack("<Q", stream.read(8))
            if header_size > size - 8:
                raise ValueError("the header is longer than the file")
            header = json.loads(stream.read(header_size))
        header.pop("__metadata__", None)
        return [_entry(file, size, 8 + header_size, name, entry) for name, entry in header.items()]
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotFoundError(f"{file}: not a whole safetensors file: {reason_of(error)}") from None


def _entry(file: Path, size: int, start: int, name: str, entry: dict[str, list[int]]) -> Stored:
    begin, end = entry["data_offsets"]
    stored = Stored(name, DTYPES[str(entry["dtype"])], tuple(entry["shape"]), file, start + begin)
    if end - begin != stored.num_bytes or begin < 0 or start + end > size:
        raise ValueError(f"{name!r} does not lie within the file")
    return stored


def _from_pickle(file: Path) -> Iterator[Stored]:
    tensors = read_pickled(file, NotFoundError, mapped=True)
    if not isinstance(tensors, Mapping):
        raise NotFoundError(f"{file}: is not a state dict")
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor):
            yield Stored(name, tensor.dtype, tuple(tensor.shape), file, mapped=tensor.detach())
