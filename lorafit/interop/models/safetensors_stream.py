"""Writing safetensors files front to back, so that a model of any size passes through a few megabytes of memory."""

from __future__ import annotations

import json
import math
import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor
from typing_extensions import override

from lorafit.errors import NotFoundError
from lorafit.methods import Change
from lorafit.models import Stored
from lorafit.models.files.stored import DTYPE_NAMES

_BLOCK_BYTES = 256 << 10  # of float32, at once in memory
_COPY_BYTES = 256 << 20  # by the kernel, through no memory of ours


class Outgoing(ABC):
    """A tensor on its way into a file."""

    name: str
    dtype: torch.dtype

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]: ...

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def copy_of(self) -> Stored | None:
        """The tensor in a file whose very bytes these are; None where they are others."""
        return None

    @abstractmethod
    def blocks(self) -> Iterator[Tensor]:
        """Its values in order, some rows at a time, in `dtype`."""

    def write(self, out: BinaryIO) -> None:
        """Every block."""
        for block in self.blocks():
            _write(out, _raw(block))


@dataclass(frozen=True)
class Whole(Outgoing):
    """A tensor in memory."""

    name: str
    dtype: torch.dtype
    value: Tensor

    @property
    @override
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @override
    def blocks(self) -> Iterator[Tensor]:
        """The whole at once."""
        yield self.value.to(self.dtype)


@dataclass(frozen=True)
class Streamed(Outgoing):
    """A tensor of a file, changed on its way by `change` where there is one."""

    name: str
    dtype: torch.dtype
    source: Stored
    change: Change | None

    @property
    @override
    def shape(self) -> tuple[int, ...]:
        of_base = self.source.shape
        return of_base if self.change is None else (self.change.num_rows(of_base[0]), *of_base[1:])

    @property
    @override
    def copy_of(self) -> Stored | None:
        is_copy = self.change is None and self.source.dtype == self.dtype and self.source.mapped is None
        return self.source if is_copy else None

    @override
    def blocks(self) -> Iterator[Tensor]:
        """Changes are computed in float32 and rounded once."""
        change = scanned(self.change, self.source) if self.change is not None else None
        for start, block in row_blocks(self.source):
            yield (block if change is None else change.rows(block.float(), start)).to(self.dtype)
        further = None if change is None else change.further_rows(self.source.num_rows)
        if further is not None:
            yield further.to(self.dtype)


def row_blocks(stored: Stored) -> Iterator[tuple[int, Tensor]]:
    """A stored tensor some rows at a time: the number of the first row, and the rows."""
    step = max(_BLOCK_BYTES // max(math.prod(stored.shape[1:]) * 4, 1), 1)
    for start in range(0, stored.num_rows, step):
        yield start, stored.read_rows(start, min(start + step, stored.num_rows))


def scanned(change: Change, base: Stored) -> Change:
    """The change, once it has seen the base's weight where it needs to."""
    return change.scan(block.float() for _, block in row_blocks(base)) if change.needs_scan else change


def write_file(path: Path, tensors: Sequence[Outgoing]) -> None:
    """One safetensors file, written front to back."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.num_bytes
        header[tensor.name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb", buffering=0) as out:
        _write(out, struct.pack("<Q", len(encoded)) + encoded)
        for part in _in_runs(tensors):
            part.write(out)
        if out.tell() != 8 + len(encoded) + offset:
            raise NotFoundError(f"{path}: {out.tell()} bytes came out instead of {8 + len(encoded) + offset}")


@dataclass(frozen=True)
class _Run:
    """Bytes that lie one behind the other in the source and in the result."""

    file: Path
    begin: int
    num_bytes: int

    @property
    def end(self) -> int:
        return self.begin + self.num_bytes

    def write(self, out: BinaryIO) -> None:
        """By the kernel, inside the file system where it can."""
        with self.file.open("rb", buffering=0) as stream:
            begin, left = self.begin, self.num_bytes
            while left:
                count = _copy_some(stream.fileno(), out.fileno(), begin, min(left, _COPY_BYTES))
                if not count:
                    raise NotFoundError(f"{self.file}: ends too early; the file is damaged")
                begin, left = begin + count, left - count


def _in_runs(tensors: Sequence[Outgoing]) -> Iterator[Outgoing | _Run]:
    """Copied tensors that are neighbours in their file as one run; all others one by one."""
    run: _Run | None = None
    for tensor in tensors:
        source = tensor.copy_of
        if source is not None and run and run.file == source.file and run.end == source.begin:
            run = _Run(run.file, run.begin, run.num_bytes + source.num_bytes)
            continue
        if run:
            yield run
        run = _Run(source.file, source.begin, source.num_bytes) if source is not None else None
        if source is None:
            yield tensor
    if run:
        yield run


def _copy_some(source: int, target: int, begin: int, count: int) -> int:
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, count, begin)
        except OSError:  # another file system, or one that cannot
            pass
    chunk = os.pread(source, min(count, _BLOCK_BYTES), begin)
    return os.write(target, chunk)


def _write(out: BinaryIO, content: bytes | memoryview) -> None:
    view = memoryview(content)
    while view:
        view = view[out.write(view) :]


def _raw(tensor: Tensor) -> memoryview:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data
