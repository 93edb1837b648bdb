"""Several processes that carry out one run together, started by `torchrun` or `srun`.

Only what is trained travels: every process computes its part of a step, the gradients of the trained parameters are
added up, and all make the same update. Loss, counts and requests to stop are agreed upon over gloo, so that the end
of a process is noticed at once; gradients on GPUs travel over nccl.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lorafit.errors import (
    DivergedError,
    InterruptedRunError,
    LorafitError,
    OutOfMemoryError,
)
from lorafit.training.world import Item, Made, Result, StopReason, World, never

_PATIENCE = dt.timedelta(hours=24)  # one process may download, or score, while the others wait
_BUCKET = 1 << 25  # gradient elements sent at once: 128 MB in float32
_EVERYWHERE = (DivergedError, InterruptedRunError, OutOfMemoryError)  # all processes raise these together


@dataclass(frozen=True)
class Place:
    """Which process this is, among all and on its machine; `address` of the first one where torchrun gives none."""

    rank: int
    size: int
    local_rank: int
    address: tuple[str, int] | None = None

    @staticmethod
    def of_environment() -> Place | None:
        """As torchrun or srun say; None for a process on its own."""
        env = os.environ
        if int(env.get("WORLD_SIZE", 1)) > 1:
            return Place(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env["LOCAL_RANK"]))
        # Set by srun alone; SLURM_NTASKS is there in a batch script too, which is one process.
        if int(env.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            port = 20_000 + (int(env["SLURM_JOB_ID"]) * 31 + int(env.get("SLURM_STEP_ID", 0))) % 20_000
            address = (first_host(env["SLURM_STEP_NODELIST"]), port)
            rank, size = int(env["SLURM_PROCID"]), int(env["SLURM_STEP_NUM_TASKS"])
            return Place(rank, size, int(env["SLURM_LOCALID"]), address)
        return None


def first_host(nodes: str) -> str:
    """'gpu[07-09,12],login' -> 'gpu07' (Slurm's way to write lists of machines)."""
    match = re.match(r"([^\[,]+)(?:\[(\d+)[^\]]*\]([^,]*))?", nodes)
    assert match is not None, nodes
    return match[1] + (match[2] or "") + (match[3] or "")


@contextlib.contextmanager
def open_world(stop_reason: StopReason = never) -> Iterator[World]:
    """The processes of this run, for the length of the block.

    An error that all processes raise together is left to the leading one to tell; the others end with its exit code.
    """
    place = Place.of_environment()
    if place is None:
        yield World(stop_reason)
        return
    _join(place)
    try:
        yield Processes(place, stop_reason)
    except _EVERYWHERE as error:
        if place.rank == 0:
            raise
        raise SystemExit(error.exit_code) from error
    finally:
        with contextlib.suppress(Exception):  # another process may be gone
            dist.destroy_process_group()


def _join(place: Place) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    options: dict[str, Any] = {}
    if place.address is not None:
        host, port = place.address
        options = {"init_method": f"tcp://{host}:{port}", "rank": place.rank, "world_size": place.size}
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, timeout=_PATIENCE, **options)
    except (RuntimeError, ValueError) as error:
        where = f" at {place.address[0]}:{place.address[1]}" if place.address else ""
        raise LorafitError(f"process {place.rank} of {place.size} finds no others{where}: {error}") from error


class Processes(World):
    """Several processes; with `in_step` all run every forward pass together, for each holds a shard of the base."""

    def __init__(self, place: Place, stop_reason: StopReason) -> None:
        super().__init__(stop_reason)
        self.rank, self.size = place.rank, place.size

    def each(self, items: Sequence[Item], work: Callable[[Item], Result]) -> Iterator[Result]:
        """See `World`. In step, every process does every item."""
        if not self.in_step:
            yield from super().each(items, work)
            return
        for item in items:
            self.stop_if_asked()
            yield work(item)

    def rounds(self, count: int) -> int:
        """See `World`."""
        return max(self.gather(count)) if self.in_step else count

    def stop_if_asked(self) -> None:
        """See `World`."""
        reason = self.reason()
        if self.sum([float(reason is not None)])[0]:
            raise InterruptedRunError(reason or "another process was asked to stop")

    def should_stop(self) -> bool:
        """See `World`: here the others wait, so a process stops between items only."""
        return False

    def sum(self, values: Sequence[float]) -> list[float]:
        """See `World`. Added up in the order of ranks, so that all processes have the same bits."""
        mine = torch.tensor(values, dtype=torch.float64)
        every = [torch.empty_like(mine) for _ in range(self.size)]
        with self._together():
            dist.all_gather(every, mine)
        total = every[0]
        for other in every[1:]:
            total = total + other
        return [float(value) for value in total]

    def gather(self, value: Item) -> list[Item]:
        """See `World`."""
        every: list[Any] = [None] * self.size
        with self._together():
            dist.all_gather_object(every, value)
        return every

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """See `World`. A parameter that has a gradient nowhere stays without one."""
        has = self.sum([float(p.grad is not None) for p in parameters])
        used = [p for p, count in zip(parameters, has, strict=True) if count]
        for bucket in _buckets(used):
            flat = torch.cat([_gradient(p).reshape(-1) for p in bucket])
            with self._together():
                dist.all_reduce(flat)
            for p, total in zip(bucket, flat.split([p.numel() for p in bucket]), strict=True):
                p.grad = total.view_as(p).clone()

    def same_start(self, tensors: Sequence[Tensor]) -> None:
        """See `World`."""
        with torch.no_grad(), self._together():
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def from_leader(self, make: Callable[[], Made]) -> Made:
        """See `World`."""
        made: Made | None = None
        error: Exception | None = None
        if self.leads:
            try:
                made = make()
            except Exception as raised:
                error = raised
        code = getattr(error, "exit_code", 1) if error is not None else None
        told: list[Any] = [(made, code) if self.leads else None]
        with self._together():
            dist.broadcast_object_list(told, src=0)
        if error is not None:
            raise error
        value, code = told[0]
        if code is not None:
            raise SystemExit(code)
        return value if not self.leads else made  # type: ignore[return-value]

    def leader_first(self, make: Callable[[], Made]) -> Made:
        """See `World`."""
        mine: list[Made] = []
        self.from_leader(lambda: mine.append(make()))
        return mine[0] if self.leads else make()

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """The end of another process, told clearly."""
        try:
            yield
        except RuntimeError as error:
            raise LorafitError(
                f"process {self.rank} of {self.size}: another process of this run has ended, see its message; run the "
                f"same command again to go on from the last checkpoint ({str(error).splitlines()[0]})"
            ) from error


def _gradient(parameter: nn.Parameter) -> Tensor:
    return parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Parameters in order, about _BUCKET elements of one dtype together."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        if bucket and (
            sum(p.numel() for p in bucket) + parameter.numel() > _BUCKET or parameter.dtype != bucket[0].dtype
        ):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket
