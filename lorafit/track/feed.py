"""The way from metrics.jsonl to the trackers. None of them can stop a run: one that fails is left, with one note."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from lorafit.errors import LorafitError, reason_of
from lorafit.files import JsonObject
from lorafit.track.base import TrackedRun, Tracker, figures

Say = Callable[[str], None]


class Feed:
    """Tells the trackers that were asked for what stands in metrics.jsonl."""

    def __init__(self, wanted: Mapping[str, type[Tracker]], run: TrackedRun, say: Say) -> None:
        """Open every tracker. `say` receives a note for each that cannot be, or that fails later."""
        self._say = say
        self._trackers: dict[str, Tracker] = {}
        self._last_step = 0
        for name, kind in wanted.items():
            try:
                self._trackers[name] = kind.open(run)
            except ImportError as error:
                cure = f"; pip install 'lorafit[{kind.extra}]'" if kind.extra else ""
                self._say(f"{name}: cannot be imported ({error}), so this run is not tracked there{cure}")
            except Exception as error:  # another program's: it may raise anything
                self._say(f"{name}: this run is not tracked there: {_why(error)}")

    def replay(self, lines: Iterable[JsonObject]) -> None:
        """What a run that goes on has logged before."""
        for line in lines:
            self.log(line)

    def log(self, line: JsonObject) -> None:
        """A line of metrics.jsonl, as it is written."""
        if (found := figures(line, self._last_step)) is not None:
            self._last_step = found.moment.step
            self._each(lambda tracker: tracker.log(found))

    def close(self) -> None:
        """Let every tracker write what is left."""
        self._each(lambda tracker: tracker.close())
        self._trackers.clear()

    def _each(self, tell: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                tell(tracker)
            except Exception as error:  # another program's: it may raise anything
                self._say(f"{name}: tracking ends here, and the run goes on: {_why(error)}")
                del self._trackers[name]
                with suppress(Exception):
                    tracker.close()


def _why(error: Exception) -> str:
    """In our own words where it is our own error, else the program's, as far as they are no advice."""
    return str(error) if isinstance(error, LorafitError) else reason_of(error)
