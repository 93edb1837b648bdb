"""The live screen of a terminal: it is drawn anew where it stands, and nothing scrolls until it closes.

When it closes, what was said meanwhile (notes, validations, scores) is printed below each other.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lorafit.format import duration, number, size
from lorafit.run.memory import peak_memory

PATIENCE_S = 2.0  # work that is done sooner needs no bar
_REFRESHES_PER_S = 4
_MOST_MESSAGES = 4
_BLOCKS = "▁▂▃▄▅▆▇█"
_MOST_LOSSES = 4096  # that are kept for the sparkline


@dataclass
class Bar:
    """Work that is under way. `total` is None where nobody knows how much it is."""

    done: int = 0
    total: int | None = None
    text: str = ""
    since: float = field(default_factory=lambda: time.monotonic())

    @property
    def is_shown(self) -> bool:
        """Whether it takes so long that one would ask."""
        return time.monotonic() - self.since >= PATIENCE_S


@dataclass
class TrainingState:
    """What the screen knows of a run that trains. `steps_per_epoch` is None where epochs differ."""

    title: str
    num_steps: int
    first_step: int = 0
    steps_per_epoch: int | None = None
    step: int = 0
    losses: list[float] = field(default_factory=list)
    learning_rate: float = 0.0
    speed: float = 0.0
    padding: float = 0.0
    best: str = ""
    since: float = field(default_factory=lambda: time.monotonic())

    def stepped(self, step: int, loss: float, learning_rate: float, speed: float, padding: float) -> None:
        """A step was taken. Of many losses every second one is let go, so that the line shows the whole run."""
        self.step, self.learning_rate, self.speed, self.padding = step, learning_rate, speed, padding
        self.losses.append(loss)
        if len(self.losses) > _MOST_LOSSES:
            self.losses = self.losses[::2]

    @property
    def seconds_left(self) -> float | None:
        """At the speed so far; None before the first step."""
        taken = self.step - self.first_step
        return (time.monotonic() - self.since) / taken * (self.num_steps - self.step) if taken > 0 else None

    @property
    def epoch(self) -> tuple[int, int, int] | None:
        """(epoch from 1, steps of it that are done, steps that it has); None where it is not known."""
        if not self.steps_per_epoch or self.step == 0:
            return None
        before = (self.step - 1) // self.steps_per_epoch
        return before + 1, self.step - before * self.steps_per_epoch, self.steps_per_epoch


Line = Table | Text | tuple[str, TrainingState] | tuple[str, Bar]
"""Of the screen: drawn already, or a run or a bar by its name."""


class Screen:
    """Draws runs, bars and the latest messages, a few times a second."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.runs: dict[str, TrainingState] = {}
        self.bars: dict[str, Bar] = {}
        self._said: list[str] = []
        self._shown: list[str] = []
        self._live = Live(
            console=console,
            get_renderable=self.draw,
            refresh_per_second=_REFRESHES_PER_S,
            transient=True,
            vertical_overflow="crop",
        )

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def stop(self) -> None:
        """Take the screen away, and print what was said meanwhile."""
        self._live.stop()
        for line in self._said:
            self.console.print(line)

    def say(self, line: str, *, is_shown: bool = True) -> None:
        """A message in rich's markup: printed in the end and, if it is shown, on the screen while it is a late one."""
        self._said.append(line)
        self._shown += [line] if is_shown else []

    def progress(self, what: str, done: int, total: int | None, text: str) -> None:
        """How far some work is; at its end the bar goes."""
        bar = self.bars.setdefault(what, Bar())
        bar.done, bar.total, bar.text = done, total, text
        if total is not None and done >= total:
            del self.bars[what]

    def ended(self, what: str) -> None:
        """Work of which nobody knew how much it is has ended."""
        self.bars.pop(what, None)

    def draw(self) -> Group:
        """All of it, never higher than the terminal."""
        width, room = self.console.width, max(1, self.console.height - 2)
        runs, bars = list(self.runs.items()), list(self.bars.items())
        if len(runs) == 1:
            of_runs: Sequence[Line] = list(_one_run(runs[0][1], width))
        else:
            of_runs = [item for item in runs if item[1].step < item[1].num_steps]
        found = [*of_runs, *((name, bar) for name, bar in bars if bar.is_shown)]
        num_shown = len(found) if len(found) <= room else room - 1
        lines = [_drawn(each, width) for each in found[:num_shown]]  # the seen ones of thousands
        if num_shown < len(found):
            lines.append(Text(f"… and {len(found) - num_shown:,} more"))
        left = min(_MOST_MESSAGES, room - len(lines))
        messages = [_whole_line(text, "dim") for text in self._shown[-left:]] if left > 0 else []
        return Group(*messages, *lines)


def sparkline(values: Sequence[float], width: int) -> str:
    """The course of a number in `width` characters: each the mean of a stretch, between the least and the greatest."""
    count = min(width, len(values))
    if count < 2:
        return ""
    edges = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    known = [mean for mean in means if math.isfinite(mean)]
    low, reach = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    top = len(_BLOCKS) - 1
    levels = [round((mean - low) / reach * top) if reach and math.isfinite(mean) else 0 for mean in means]
    return "".join(
        _BLOCKS[level] if math.isfinite(mean) else " " for level, mean in zip(levels, means, strict=True)
    )


def _whole_line(markup: str, style: str) -> Text:
    """One line, which loses its end where the terminal is narrow."""
    text = Text.from_markup(markup, style=style)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _one_run(state: TrainingState, width: int) -> Iterator[Table | Text]:
    yield _whole_line(state.title, "bold")
    left = state.seconds_left
    behind = f"{state.step:,}/{state.num_steps:,}" + (f"  {duration(left)} left" if left is not None else "")
    yield _line("run", _bar(state.step, state.num_steps, width), behind)
    if (at := state.epoch) is not None:
        epoch, done, total = at
        yield _line("epoch", _bar(done, total, width), f"{epoch}, step {done:,}/{total:,}")
    if state.losses:
        course = Text(sparkline(state.losses, max(4, width // 3)), style="cyan")
        yield _line("loss", course, f"{state.losses[-1]:.4f}  lr {state.learning_rate:.2e}")
    if state.best:
        yield _line("best", Text(state.best, style="green"), "")
    padding = f"  {state.padding:.0%} padding" if state.padding else ""
    yield _line("speed", Text(f"{state.speed:,.0f} tokens/s{padding}"), f"{size(peak_memory())} memory")


def _drawn(line: Line, width: int) -> Table | Text:
    """A line that is drawn already, one of several runs, or a bar."""
    match line:
        case (name, TrainingState() as state):
            loss = f"  loss {number(state.losses[-1])}" if state.losses else ""
            best = f"  best {state.best}" if state.best else ""
            bar = _bar(state.step, state.num_steps, width)
            return _line(name, bar, f"{state.step:,}/{state.num_steps:,}{loss}{best}")
        case (name, Bar() as work):
            return _line(name, _bar(work.done, work.total, width), work.text or _elapsed(work))
        case drawn:
            return drawn


def _bar(done: int, total: int | None, width: int) -> ProgressBar:
    return ProgressBar(total=total, completed=done, width=max(6, min(40, width // 3)), pulse=total is None)


def _line(name: str, middle: ProgressBar | Text, behind: str) -> Table:
    """`name  middle  behind` on one line, which loses its end where the terminal is narrow."""
    grid = Table.grid(padding=(0, 1), expand=False)
    for _ in range(3):
        grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(Text(f"{name:<6}"), middle, Text(behind))
    return grid


def _elapsed(bar: Bar) -> str:
    return duration(time.monotonic() - bar.since)
