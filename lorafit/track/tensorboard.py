"""TensorBoard: event files below the run folder, which `tensorboard --logdir runs` shows. Its numbers are float32."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, ClassVar, Self

from typing_extensions import override

from lorafit.track.base import Figures, TrackedRun, Tracker

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

_FLUSH_S = 10


class TensorBoard(Tracker):
    """Writes a new file each time that a run goes on, with all numbers from the first: no reader sees a step twice."""

    name: ClassVar[str] = "tensorboard"
    extra: ClassVar[str] = "tensorboard"

    def __init__(self, writer: EventFileWriter) -> None:
        self._writer = writer

    @classmethod
    @override
    def open(cls, run: TrackedRun) -> Self:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = run.folder / cls.name
        shutil.rmtree(folder, ignore_errors=True)
        return cls(EventFileWriter(str(folder), flush_secs=_FLUSH_S))

    @override
    def log(self, figures: Figures) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.values.items()]
        event = Event(step=figures.moment.step, wall_time=time.time(), summary=Summary(value=values))
        self._writer.add_event(event)

    @override
    def close(self) -> None:
        self._writer.close()
