"""Several processes that train one run together, started by `torchrun` or `srun`.

Only what is trained travels: every process computes its part of a step, the gradients of the trained parameters are
summed, and all make the same update. Losses, counts and stop requests travel over gloo, which notices at once when
a process ends; gradients on GPUs travel over nccl.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from typing_extensions import override

from lorafit.errors import (
    RUN_AGAIN,
    DivergedError,
    InterruptedRunError,
    LorafitError,
    OutOfMemoryError,
    reason_of,
)
from lorafit.training.process_group import Item, ProcessGroup, Result, StopCheck

_PATIENCE = dt.timedelta(days=7)  # one process may download, score, or have more runs, while the others wait
_BUCKET = 1 << 25  # gradient elements sent at once: 128 MB in float32
_EVERYWHERE = (DivergedError, InterruptedRunError, OutOfMemoryError)  # all processes raise these together


@dataclass(frozen=True)
class Rank:
    """Which process this is, among all and on its machine; `address` of the leader where torchrun gives none."""

    rank: int
    size: int
    local_rank: int
    address: tuple[str, int] | None = None

    @staticmethod
    def of_environment() -> Rank | None:
        """As torchrun or srun say; None for a process on its own."""
        env = os.environ
        if int(env.get("WORLD_SIZE", 1)) > 1:
            return Rank(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env.get("LOCAL_RANK", env["RANK"])))
        # Set by srun alone; SLURM_NTASKS is there in a batch script too, which is one process.
        if int(env.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            port = 20_000 + (int(env["SLURM_JOB_ID"]) * 31 + int(env.get("SLURM_STEP_ID", 0))) % 20_000
            address = (first_host(env["SLURM_STEP_NODELIST"]), port)
            rank, size = int(env["SLURM_PROCID"]), int(env["SLURM_STEP_NUM_TASKS"])
            return Rank(rank, size, int(env["SLURM_LOCALID"]), address)
        return None


def first_host(nodes: str) -> str:
    """'gpu[07-09,12],login' -> 'gpu07' (Slurm's way to write lists of machines)."""
    match = re.match(r"([^\[,]+)(?:\[(\d+)[^\]]*\]([^,]*))?", nodes)
    if match is None:
        raise LorafitError(f"SLURM_STEP_NODELIST: {nodes!r} is not a list of machines")
    return match[1] + (match[2] or "") + (match[3] or "")


@contextlib.contextmanager
def open_process_group(stop: StopCheck) -> Iterator[ProcessGroup]:
    """The processes of this run, for the length of the block.

    The leader tells an error that all processes raise together; the others end with its exit code.
    """
    place = Rank.of_environment()
    if place is None:
        yield ProcessGroup(stop)
        return
    _join(place)
    try:
        yield DistributedGroup(stop, place.rank, place.size)
    except _EVERYWHERE as error:
        if place.rank == 0:
            raise
        raise SystemExit(error.exit_code) from error
    finally:
        with contextlib.suppress(Exception):  # another process may be gone
            dist.destroy_process_group()


def _join(place: Rank) -> None:
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
        fault = f"process {place.rank} of {place.size} finds no others{where}: {reason_of(error)}"
        raise LorafitError(fault) from error


@dataclass(frozen=True)
class DistributedGroup(ProcessGroup):
    """Several processes; see `ProcessGroup` for what each method does.

    `handle`: torch's group, None for that of all processes; `first`: the rank of its leader among all.
    """

    handle: dist.ProcessGroup | None = None
    first: int = 0

    @override
    def split(self, num_parts: int) -> tuple[int, ProcessGroup]:
        found: list[tuple[int, ProcessGroup]] = []
        bounds = [-(-self.size * part // num_parts) for part in range(num_parts + 1)]
        for part, (start, stop) in enumerate(itertools.pairwise(bounds)):
            ranks = range(self.first + start, self.first + stop)
            handle = dist.new_group(list(ranks), timeout=_PATIENCE) if len(ranks) > 1 else None
            if start <= self.rank < stop:
                rank, size = self.rank - start, stop - start
                group = DistributedGroup(self.stop, rank, size, handle=handle, first=ranks[0])
                found.append((part, group if size > 1 else ProcessGroup(self.stop)))
        return found[0]

    @override
    def map(self, items: Sequence[Item], work: Callable[[Item], Result]) -> Iterator[Result]:
        if not self.lockstep:
            yield from super().map(items, work)
            return
        for item in items:  # every process does every item
            self.stop_if_asked()
            yield work(item)

    @override
    def num_forward_passes(self, count: int) -> int:
        return max(self.all_gather(count)) if self.lockstep else count

    @override
    def stop_if_asked(self) -> None:
        reason = self.stop()
        if self.all_reduce_sum([float(reason is not None)])[0]:
            raise InterruptedRunError(reason or "another process was asked to stop")

    @override
    def should_stop_within_item(self) -> bool:
        return False  # the others wait, so a process stops between items only

    @override
    def all_reduce_sum(self, values: Sequence[float]) -> list[float]:
        """See `ProcessGroup`. Added up in the order of ranks, so that all processes have the same bits."""
        mine = torch.tensor(values, dtype=torch.float64)
        every = [torch.empty_like(mine) for _ in range(self.size)]
        with self._together():
            dist.all_gather(every, mine, group=self.handle)
        total = every[0]
        for other in every[1:]:
            total = total + other
        return [float(value) for value in total]

    @override
    def all_gather(self, value: Item) -> list[Item]:
        every: list[Item] = [value] * self.size
        with self._together():
            dist.all_gather_object(every, value, group=self.handle)
        return every

    @override
    def all_reduce_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """See `ProcessGroup`. A parameter that has a gradient nowhere stays without one."""
        has = self.all_reduce_sum([float(p.grad is not None) for p in parameters])
        used = [p for p, count in zip(parameters, has, strict=True) if count]
        for bucket in _buckets(used):
            flat = torch.cat([_gradient(p).reshape(-1) for p in bucket])
            with self._together():
                dist.all_reduce(flat, group=self.handle)
            for p, total in zip(bucket, flat.split([p.numel() for p in bucket]), strict=True):
                p.grad = total.view_as(p).clone()

    @override
    def broadcast_tensors(self, tensors: Sequence[Tensor]) -> None:
        with torch.no_grad(), self._together():
            for tensor in tensors:
                dist.broadcast(tensor, src=self.first, group=self.handle)

    @override
    def on_leader(self, make: Callable[[], Result]) -> Result:
        made: list[Result] = []
        error: Exception | None = None
        if self.is_leader:
            try:
                made = [make()]
            except Exception as raised:
                error = raised
        code = getattr(error, "exit_code", 1) if error is not None else None
        sent: list[tuple[list[Result], int | None]] = [(made, code)]
        with self._together():
            dist.broadcast_object_list(sent, src=self.first, group=self.handle)
        if error is not None:
            raise error
        received, code = sent[0]
        if code is not None:
            raise SystemExit(code)
        return made[0] if self.is_leader else received[0]

    @override
    def leader_first(self, make: Callable[[], Result]) -> Result:
        mine: list[Result] = []

        def make_here() -> None:
            mine.append(make())

        self.on_leader(make_here)
        return mine[0] if self.is_leader else make()

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """Say clearly that another process has ended."""
        try:
            yield
        except RuntimeError as error:
            raise LorafitError(
                f"process {self.rank} of {self.size}: another process of this run has ended, see its message "
                f"({reason_of(error)})",
                RUN_AGAIN,
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
