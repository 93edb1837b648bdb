"""Events and results: live on a terminal, plain lines elsewhere, JSON where the user wants it."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lorafit.display.format import scores_line
from lorafit.display.screen import Screen, TrainingState
from lorafit.format import duration, number, size
from lorafit.run.memory import peak_memory

if TYPE_CHECKING:  # the display of `lorafit recipes` must not wait for torch
    from lorafit.run.events import Event, Started, Stepped, Validated


class Display:
    """Writes everything that a command shows: `report` events, `print` lines for people, `print_json` a result.

    `quiet`: nothing at all, as of the processes that are not the first. `only_result`: no events.
    """

    def __init__(
        self, *, json: bool = False, log_every: int = 10, quiet: bool = False, only_result: bool = False
    ) -> None:
        self.json = json
        self.quiet = quiet
        self.only_result = only_result
        self.log_every = log_every
        self.console = Console(stderr=json, highlight=False, soft_wrap=True, quiet=quiet)
        self._screen: Screen | None = None
        self._training: dict[str, TrainingState] = {}  # by the run's name; "" is that of a run alone
        self._working = ""

    def __enter__(self) -> Self:
        """On a terminal a live screen until the end of the block."""
        is_live = self.console.is_terminal and not self.console.is_dumb_terminal
        if is_live and not self.quiet and not self.only_result:
            self._screen = Screen(Console(stderr=self.json, highlight=False))
            self._screen.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._screen is not None:
            self._screen.stop()
            self._screen = None

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """While the block runs, a bar on a terminal that says so: nobody knows how long it takes."""
        with self:
            self._work_on(what)
            yield

    def report(self, event: Event, run: str = "") -> None:
        """Show an event; `run` is the name of the run that it belongs to, where there are several."""
        from lorafit.run import events
        from lorafit.training import Stepped

        named = escape(f"{run}: ") if run else ""
        match event:
            case events.OfMember():
                self.report(event.event, event.name)
            case _ if self.only_result:
                return
            case events.Working():
                self._work_on(event.what)
            case Stepped():
                self._stepped(event, run)
            case events.Progress():
                self._work_on("")
                self._bar(named + event.what, event.done, event.total, f"{event.done}/{event.total}")
            case events.Downloading():
                self._work_on("")
                self.downloading(event.name, event.num_bytes, event.total)
            case events.Saved() if self._screen is not None:
                return  # the folders are named in the end
            case events.Started():
                self._begin(event, run)
                self._say(named + _words(event), is_shown=False)  # it is the title of the screen
            case _:
                self._note(event, run)
                self._say(named + _words(event))

    def _begin(self, event: Started, run: str) -> None:
        self._work_on("")
        title = (f"{escape(run)}: " if run else "") + _training(event)
        state = TrainingState(title, event.num_steps, event.first_step, event.steps_per_epoch)
        self._training[run] = state
        if self._screen is not None:
            self._screen.runs[run] = state

    def _note(self, event: Event, run: str) -> None:
        """What the screen has to know of an event besides its words."""
        from lorafit.run import events

        match event:
            case events.Validated() if event.best and run in self._training:
                self._training[run].best = _best(event)
            case events.Finished() if self._screen is not None:
                self._screen.runs.pop(run, None)

    def _stepped(self, event: Stepped, run: str) -> None:
        state = self._training[run]
        speed = event.num_tokens / event.seconds if event.seconds else 0.0
        state.stepped(event.step, event.loss, event.learning_rate, speed, event.padding)
        if self._screen is None and event.step % self.log_every == 0:
            named = escape(f"{run}: ") if run else ""
            self.console.print(f"{named}step {event.step}/{state.num_steps}  {_step_line(state)}")

    def _say(self, line: str, *, is_shown: bool = True) -> None:
        if self._screen is not None:
            self._screen.say(line, is_shown=is_shown)
        else:
            self.console.print(line)

    def _work_on(self, what: str) -> None:
        """On a terminal, what is done just now, whose end nobody knows; "" ends it."""
        if self._screen is not None:
            self._screen.ended(self._working)
            self._working = what
            if what:
                self._screen.progress(what, 0, None, "")

    def downloading(self, name: str, num_bytes: int, total: int | None) -> None:
        """A bar; without a terminal, a line when a file is complete."""
        end = total or num_bytes + 1
        if self._screen is not None:
            self._bar(name, num_bytes, end, f"{size(num_bytes)} of {size(total or 0)}")
        elif num_bytes == end:
            self.console.print(f"downloaded {escape(name)} ({size(end)})")

    def _bar(self, what: str, done: int, total: int, text: str) -> None:
        """A live bar; without a terminal, a line at every tenth."""
        if self._screen is not None:
            self._screen.progress(what, done, total, text)
        elif done == total or done * 10 // total > (done - 1) * 10 // total:
            self.console.print(f"{what} {text}")

    def show_status(self, what: str, text: str | None) -> None:
        """On a terminal, what `what` is doing just now, in a line of its own; None ends it."""
        if self._screen is None:
            return
        if text is None:
            self._screen.ended(what)
        else:
            self._screen.progress(what, 0, None, text)

    def print(self, what: Any = "", **options: Any) -> None:
        """A line, or anything that rich can draw. Text from elsewhere goes through `rich.markup.escape` first."""
        self.console.print(what, **options)

    def print_wide(self, table: Table) -> None:
        """A table at its full width: a long line is better than a figure that is cut off."""
        for column in table.columns:
            column.no_wrap = True
        options = self.console.options.update(width=1000)
        width = max(self.console.width, self.console.measure(table, options=options).maximum)
        console = Console(stderr=self.json, highlight=False, width=width, quiet=self.quiet)
        console.print(table, crop=False)

    def print_json(self, value: Any) -> None:
        """The result as one JSON value on stdout."""
        if self.quiet:
            return
        self.print_line(json_module.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))

    def print_line(self, text: str) -> None:
        """A result on stdout, as it is, at once."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _words(event: Event) -> str:
    """What happened, in one line of rich's markup."""
    from lorafit.run import events

    match event:
        case events.Note():
            return escape(event.text)
        case events.FormatChosen():
            return f"the base's weights are held in {event.dtype}: {escape(event.reason)}"
        case events.Started():
            return _training(event)
        case events.Validated():
            scores = f", {scores_line(dict(event.scores))}" if event.scores else ""
            best = ", the best so far" if event.best else ""
            return f"epoch {event.epoch} (step {event.step}): validation loss {event.loss:.4f}{scores}{best}"
        case events.Saved():
            return f"wrote {escape(str(event.folder))} ({size(event.num_bytes)})"
        case events.Scored():
            return f"{event.split} scores of the {event.who}: {scores_line(event.scores)}"
        case events.Finished():
            return f"finished after {event.step:,} steps and {duration(event.seconds)}"
        case _:
            return ""


def _training(event: Started) -> str:
    return (
        f"training {event.num_trained:,} parameters on {event.num_examples:,} examples for {event.num_steps:,} steps "
        f"({event.device}, {event.dtype})"
    )


def _best(event: Validated) -> str:
    """The loss or, where there are scores, those of the best validation."""
    scores = f"  {scores_line(dict(event.scores))}" if event.scores else ""
    return f"validation loss {number(event.loss)}{scores} (epoch {event.epoch})"


def _step_line(state: TrainingState) -> str:
    """Loss, learning rate, tokens per second, time left and memory."""
    padding = f"{state.padding:.0%} padding  " if state.padding else ""
    return (
        f"loss {state.losses[-1]:.4f}  lr {state.learning_rate:.2e}  {state.speed:,.0f} tokens/s  {padding}"
        f"{duration(state.seconds_left or 0.0)} left  {size(peak_memory())}"
    )
