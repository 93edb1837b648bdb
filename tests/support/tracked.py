"""What trackers have written, read back from their own files: the numbers of each name, step by step."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Numbers = dict[str, list[tuple[int, float]]]
"""Name -> (step, value) in the order in which they stand in the files."""


def read_tensorboard(folder: Path) -> Numbers:
    """By TensorBoard's own reader, with nothing thinned out."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    names = accumulator.Tags()["scalars"]
    return {name: [(each.step, each.value) for each in accumulator.Scalars(name)] for name in names}


def read_wandb(folder: Path) -> Numbers:
    """All files of the run, in the order in which they were begun, as `wandb sync` sends them."""
    found: Numbers = {}
    for history in _histories(folder):
        pairs = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in history.item}
        for name, value in pairs.items():
            if name != "step" and not name.startswith("_"):
                found.setdefault(name, []).append((pairs["step"], value))
    return found


def rows_of_wandb(folder: Path) -> list[int]:
    """The internal number of each row, which must only rise."""
    return [history.step.num for history in _histories(folder)]


def _histories(folder: Path) -> Iterator[Any]:
    paths = folder.glob("wandb/offline-run-*/*.wandb")
    for path in sorted(paths, key=lambda path: path.parent.name):
        for record in _whole(path):
            if record.WhichOneof("record_type") == "history":
                yield record.history


def _whole(path: Path) -> list[Any]:
    """The records of a file; its writer, a process of its own, may still be at it when the run is done."""
    end = time.monotonic() + 30
    while True:
        records = list(_records(path.read_bytes()))
        if records and records[-1].WhichOneof("record_type") == "exit":
            return records
        assert time.monotonic() < end, f"{path}: never ended"
        time.sleep(0.05)


def _records(data: bytes) -> Iterator[Any]:
    """A log in LevelDB's format behind a header of 7 bytes: blocks of 32 KiB; chunks with checksum, size, kind."""
    from wandb.proto import wandb_internal_pb2

    block, at, whole = 32768, 7, b""
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # all of a record, or the last part of one
            record = vars(wandb_internal_pb2)["Record"]()
            record.ParseFromString(whole)
            yield record
            whole = b""


READ: dict[str, Callable[[Path], Numbers]] = {
    "tensorboard": read_tensorboard,
    "wandb": read_wandb,
}


def kept(name: str, value: float) -> float:
    """A number as precisely as a tracker keeps it."""
    return float(np.float32(value)) if name == "tensorboard" else value
