"""How every command that trains, evaluates or predicts stops gracefully."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lorafit.cli.parsing import parse_duration
from lorafit.errors import Advice, RecipeError
from lorafit.imports import importing

if TYPE_CHECKING:
    from lorafit.training import ProcessGroup


@contextmanager
def stoppable(time_limit: str | None = None, *, distributed: bool = False) -> Iterator[ProcessGroup]:
    """The process group of a command. Its work ends with InterruptedRunError when a signal comes or time is up.

    SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 are caught. `time_limit` counts from the start of the process; inside a Slurm
    job its end counts, too. Raises RecipeError where several processes were started and it is not `distributed`.
    """
    with importing():
        from lorafit.run.stop import StopRequest, process_age_s
        from lorafit.training import ProcessGroup, open_process_group
        from lorafit.training.distributed import Rank

    limit_s = None
    if time_limit is not None:
        limit_s = parse_duration("--time-limit", time_limit) - process_age_s()
    if not distributed and Rank.of_environment() is not None:
        raise RecipeError("this command runs as one process", Advice("start it without torchrun or srun"))
    with StopRequest(limit_s) as stop:
        if distributed:
            with open_process_group(stop) as group:
                yield group
        else:
            yield ProcessGroup(stop)
