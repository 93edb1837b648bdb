"""Events and results: live on a terminal, plain lines elsewhere, JSON where the user wants it."""

from __future__ import annotations

import json as json_module
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from lorafit.display.format import scores_line
from lorafit.format import duration, size
from lorafit.run.memory import peak_memory

if TYPE_CHECKING:  # the display of `lorafit recipes` must not wait for torch
    from lorafit.run.events import Event


class Display:
    """Writes everything that a command shows: `report` events, `print` lines for people, `print_json` a result."""

    def __init__(self, *, json: bool = False, log_every: int = 10, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self.log_every = log_every
        self.console = Console(stderr=json, highlight=False, soft_wrap=True, quiet=quiet)
        self._progress: Progress | None = None
        self._bars: dict[str, TaskID] = {}
        self._training: dict[str, _TrainingLine] = {}  # by the run's name; "" is that of a run alone

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.quiet:
            columns = (TextColumn("{task.description:>10}"), BarColumn(), TextColumn("{task.fields[text]}"))
            self._progress = Progress(*columns, console=self.console, transient=True)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def report(self, event: Event, run: str = "") -> None:
        """Show an event; `run` is the name of the run that it belongs to, where there are several."""
        from lorafit.run import events
        from lorafit.training import Stepped

        named = escape(f"{run}: ") if run else ""
        match event:
            case events.OfMember():
                self.report(event.event, event.name)
            case events.Note():
                self.console.print(named + escape(event.text))
            case events.FormatChosen():
                self.console.print(
                    f"{named}the base's weights are held in {event.dtype}: {escape(event.reason)}"
                )
            case events.Started():
                self._training[run] = _TrainingLine(event.num_steps, event.first_step)
                self.console.print(
                    f"{named}training {event.num_trained:,} parameters on {event.num_examples:,} examples for "
                    f"{event.num_steps:,} steps ({event.device}, {event.dtype})"
                )
            case Stepped():
                self._stepped(event, run)
            case events.Progress():
                self._bar(named + event.what, event.done, event.total, f"{event.done}/{event.total}")
            case events.Downloading():
                self.downloading(event.name, event.num_bytes, event.total)
            case events.Validated():
                scores = f", {scores_line(dict(event.scores))}" if event.scores else ""
                best = ", the best so far" if event.best else ""
                self.console.print(
                    f"{named}epoch {event.epoch} (step {event.step}): validation loss {event.loss:.4f}{scores}{best}"
                )
            case events.Saved():
                self.console.print(f"{named}wrote {escape(str(event.folder))} ({size(event.num_bytes)})")
            case events.Scored():
                self.console.print(
                    f"{named}{event.split} scores of the {event.who}: {scores_line(event.scores)}"
                )
            case events.Finished():
                self.console.print(
                    f"{named}finished after {event.step:,} steps and {duration(event.seconds)}"
                )

    def _stepped(self, event: Any, run: str) -> None:
        line = self._training[run]
        text, what = line.text(event), escape(run) or "training"
        if self._progress is not None:
            self._bar(what, event.step, line.num_steps, text)
        elif event.step % self.log_every == 0:
            named = escape(f"{run}: ") if run else ""
            self.console.print(f"{named}step {event.step}/{line.num_steps}  {text}")

    def downloading(self, name: str, num_bytes: int, total: int | None) -> None:
        """A bar; without a terminal, a line when a file is complete."""
        end = total or num_bytes + 1
        if self._progress is not None:
            self._bar(name, num_bytes, end, f"{size(num_bytes)} of {size(total or 0)}")
        elif num_bytes == end:
            self.console.print(f"downloaded {escape(name)} ({size(end)})")

    def _bar(self, what: str, done: int, total: int, text: str) -> None:
        """A live bar; without a terminal, a line at every tenth."""
        if self._progress is None:
            if what != "training" and (done == total or done * 10 // total > (done - 1) * 10 // total):
                self.console.print(f"{what} {text}")
            return
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(what, total=total, text=text)
        self._progress.update(self._bars[what], completed=done, text=text, visible=done < total)
        if done >= total:
            self._progress.remove_task(self._bars.pop(what))

    def show_status(self, what: str, text: str | None) -> None:
        """On a terminal, what `what` is doing just now, in a line of its own; None ends it."""
        if self._progress is None:
            return
        if text is None:
            if what in self._bars:
                self._progress.remove_task(self._bars.pop(what))
            return
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(escape(what), total=None, text="")
        self._progress.update(self._bars[what], text=escape(text))

    def print(self, what: Any = "", **options: Any) -> None:
        """A line, or anything that rich can draw. Text from elsewhere goes through `rich.markup.escape` first."""
        self.console.print(what, **options)

    def print_wide(self, table: Table) -> None:
        """A table at its full width: a long line is better than a figure that is cut off."""
        for column in table.columns:
            column.no_wrap = True
        options = self.console.options.update(width=1000)
        width = max(self.console.width, self.console.measure(table, options=options).maximum)
        Console(stderr=self.json, highlight=False, width=width).print(table, crop=False)

    def print_json(self, value: Any) -> None:
        """The result as one JSON value on stdout."""
        if self.quiet:
            return
        self.print_line(json_module.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))

    def print_line(self, text: str) -> None:
        """A result on stdout, as it is, at once."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class _TrainingLine:
    """Loss, learning rate, tokens per second, time left and memory."""

    def __init__(self, num_steps: int, first_step: int) -> None:
        self.num_steps, self.first_step = num_steps, first_step
        self.started = time.monotonic()

    def text(self, event: Any) -> str:
        elapsed = time.monotonic() - self.started
        left = elapsed / (event.step - self.first_step) * (self.num_steps - event.step)
        speed = event.num_tokens / event.seconds
        padding = f"{event.padding:.0%} padding  " if event.padding else ""
        return (
            f"loss {event.loss:.4f}  lr {event.learning_rate:.2e}  {speed:,.0f} tokens/s  {padding}"
            f"{duration(left)} left  {size(peak_memory())}"
        )
