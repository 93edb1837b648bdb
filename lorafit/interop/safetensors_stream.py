"""Writing safetensors files front to back, so that a model of any size passes through a few megabytes of memory."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from lorafit.errors import NotFoundError
from lorafit.methods import Change, RowwiseChange
from lorafit.models import Stored
from lorafit.models.stored import DTYPE_NAMES

_BLOCK_BYTES = 512 << 10  # of float32, at once in memory
_COPY_BYTES = 256 << 20  # by the kernel, through no memory of ours


@dataclass(frozen=True)
class Outgoing:
    """A tensor to be written: `source`, changed by `change` where there is one; or `value` where there is no source."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    source: Stored | None = None
    change: Change | None = None
    value: Tensor | None = None

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def is_copy(self) -> bool:
        """Whether its bytes are those of the source."""
        return self.source is not None and self.change is None and self.source.dtype == self.dtype

    def blocks(self) -> Iterator[Tensor]:
        """Its values in order, some rows at a time. Changes are computed in float32 and rounded once."""
        source, change = self.source, self.change
        if source is None:
            assert self.value is not None
            yield self.value.to(self.dtype)
        elif change is None or isinstance(change, RowwiseChange):
            step = block_rows(source)
            for start in range(0, source.num_rows, step):
                block = source.read_rows(start, min(start + step, source.num_rows))
                yield (block if change is None else change.rows(block.float(), start)).to(self.dtype)
        else:
            yield change(source.read().float()).to(self.dtype)


def block_rows(stored: Stored) -> int:
    """How many rows of a tensor make a block."""
    return max(_BLOCK_BYTES // max(math.prod(stored.shape[1:]) * 4, 1), 1)


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
            if isinstance(part, Outgoing):
                for block in part.blocks():
                    _write(out, _raw(block))
            else:
                _copy(part, out)
        if out.tell() != 8 + len(encoded) + offset:
            raise NotFoundError(f"{path}: {out.tell()} bytes came out instead of {8 + len(encoded) + offset}")


@dataclass(frozen=True)
class _Run:
    """Bytes that lie one behind the other in the source and in the result."""

    file: Path
    begin: int
    num_bytes: int


def _in_runs(tensors: Sequence[Outgoing]) -> Iterator[Outgoing | _Run]:
    """Copied tensors that are neighbours in their file as one run; all others one by one."""
    run: _Run | None = None
    for tensor in tensors:
        source = tensor.source
        if not tensor.is_copy or source is None or source.mapped is not None:
            if run:
                yield run
            run = None
            yield tensor
        elif run and run.file == source.file and run.begin + run.num_bytes == source.begin:
            run = _Run(run.file, run.begin, run.num_bytes + source.num_bytes)
        else:
            if run:
                yield run
            run = _Run(source.file, source.begin, source.num_bytes)
    if run:
        yield run


def _copy(run: _Run, out: BinaryIO) -> None:
    """By the kernel, inside the file system where it can."""
    with run.file.open("rb", buffering=0) as stream:
        begin, left = run.begin, run.num_bytes
        while left:
            count = _copy_some(stream.fileno(), out.fileno(), begin, min(left, _COPY_BYTES))
            if not count:
                raise NotFoundError(f"{run.file}: ends too early; the file is damaged")
            begin, left = begin + count, left - count


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
