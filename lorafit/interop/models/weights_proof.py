"""Every tensor of a merged folder against what should stand there, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lorafit.adapters.fingerprint import coarsest
from lorafit.errors import AdapterError, NotAppliedError, SetArgument
from lorafit.interop.models.base import LayerProof, WeightsProof
from lorafit.interop.models.safetensors_stream import Outgoing, row_blocks, scanned
from lorafit.interop.models.source import MergeSource
from lorafit.methods import Change
from lorafit.models import Stored, stored_tensors, weight_files

_NUM_THREADS = 2  # of a few megabytes each
_COMPARED_BYTES = 128 << 10
_SUM_ERROR = 2.0**-18  # of the largest value of ΔW: what sums in float32 may lose
_TERM_ERROR = 2.0**-22  # of the terms of these sums, which may be much larger where they cancel


def prove_weights(source: MergeSource, meant: Sequence[Outgoing], folder: Path) -> WeightsProof:
    """Compare what was written to `folder` with what was `meant` to be.

    Raises NotAppliedError where it equals the base, AdapterError where something else stands there.
    """
    written = {tensor.name: tensor for tensor in stored_tensors(weight_files(folder))}
    where = source.adapter.folder
    if written.keys() != {tensor.name for tensor in meant}:
        raise AdapterError(
            f"{where}: the merged folder holds other tensors than were written; nothing was kept"
        )
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        proofs = list(pool.map(lambda tensor: _compare(source, tensor, written[tensor.name]), meant))
    for tensor, proof in zip(meant, proofs, strict=True):
        if not proof.is_right:
            raise AdapterError(
                f"{where}: {tensor.name!r} was not written as it was merged: it is off by up to "
                f"{proof.max_error:.3g}; nothing was kept"
            )
    layers = [proof.layer for proof in proofs if proof.layer is not None]
    if not any(layer.num_changed for layer in layers):
        precision = coarsest(tensor.dtype for tensor in written.values())
        raise NotAppliedError(
            f"{where}: adapter not applied: the merged weights equal the base's, since the adapter is "
            f"zero or lost in rounding to {precision}",
            SetArgument("dtype", "float32"),
        )
    return WeightsProof(len(written), max(proof.max_error for proof in proofs), layers)


@dataclass(frozen=True)
class _Compared:
    is_right: bool
    max_error: float = 0.0
    layer: LayerProof | None = None


@torch.no_grad()
def _compare(source: MergeSource, meant: Outgoing, new: Stored) -> _Compared:
    if (meant.shape, meant.dtype) != (new.shape, new.dtype):
        return _Compared(False, float("inf"))
    name = source.names.get(meant.name, meant.name)
    base, change = source.source_of(name), source.change_of(name)
    if change is not None and base is not None and base.shape == new.shape:
        return _changed(name, change, base, new)
    layer = LayerProof(name, 0.0, 0.0, new.num_rows, new.num_rows, None) if change is not None else None
    if meant.copy_of is not None:
        return _Compared(_same_bytes(meant.copy_of, new), 0.0, layer)
    start, is_right = 0, True
    for block in meant.blocks():
        rows = block.reshape(-1, *new.shape[1:])
        is_right &= rows.equal(new.read_rows(start, start + len(rows)))
        start += len(rows)
    return _Compared(is_right and start == new.num_rows, 0.0, layer)


def _same_bytes(one: Stored, other: Stored) -> bool:
    left, size = one.num_bytes, min(one.num_bytes, _COMPARED_BYTES)
    first, second = bytearray(size), bytearray(size)
    with one.file.open("rb", buffering=0) as a, other.file.open("rb", buffering=0) as b:
        a.seek(one.begin), b.seek(other.begin)
        while left:
            count = min(left, size)
            views = memoryview(first)[:count], memoryview(second)[:count]
            if a.readinto(views[0]) != count or b.readinto(views[1]) != count or first != second:
                return False
            left -= count
    return True


def _changed(name: str, change: Change, base: Stored, new: Stored) -> _Compared:
    """Some rows at a time, all in float64, in as few passes over them as that takes."""
    along = delta_square = base_square = max_error = max_delta = 0.0
    num_changed, is_right = 0, True
    is_whole = change.replacement is not None
    change = scanned(change, base).exact()
    terms = change.sum_of_terms
    for start, block in row_blocks(base):
        now, old = new.read_rows(start, start + len(block)), block.double()
        num_changed += int(torch.count_nonzero(block.to(now.dtype) != now))
        delta = change.rows(old.clone(), start) - old  # what it gives may be its own
        moved = now.double().sub_(old)
        base_square += _dot(old, old)
        delta_square += _dot(delta, delta)
        along += _dot(moved, delta)
        error = moved.sub_(delta)
        worst, largest = _greatest(error), _greatest(delta)
        lost = _lost_in_sums(largest, terms, now.dtype)
        is_right &= worst <= lost or bool(
            (error.abs_() <= _rounding(old.add_(delta), now.dtype) + lost).all()
        )
        max_error, max_delta = max(max_error, worst), max(max_delta, largest)
    is_sum = not is_whole and max_delta > _TERM_ERROR * terms
    survived = along / delta_square if is_sum and delta_square else None
    num_values = base.num_bytes // base.dtype.itemsize
    layer = LayerProof(name, delta_square**0.5, base_square**0.5, num_changed, num_values, survived)
    return _Compared(is_right, max_error, layer)


def _rounding(exact: Tensor, dtype: torch.dtype) -> Tensor:
    """What one rounding to `dtype` may be off, value for value."""
    return exact.abs().mul_(torch.finfo(dtype).eps)


def _lost_in_sums(largest: float, terms: float, dtype: torch.dtype) -> float:
    """What the sums of ΔW in float32 may be off, and the smallest numbers of `dtype`."""
    lost = max(_SUM_ERROR * largest, _TERM_ERROR * terms)
    return torch.finfo(dtype).tiny * torch.finfo(dtype).eps + lost


def _greatest(values: Tensor) -> float:
    """The largest magnitude; NaN where one of them is. 0 of none."""
    least, most = values.aminmax() if values.numel() else (torch.zeros(()),) * 2
    return float(torch.maximum(-least, most))


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))
