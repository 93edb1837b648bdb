"""The page of a run while it goes: drawn anew at every validation, and in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lorafit.page.one import write_run_page
from lorafit.page.run import PAGE
from lorafit.run.events import Event, Note, Report, Scored, Started, Validated


@contextmanager
def drawing(folder: Path, report: Report) -> Iterator[Report]:
    """The report to train a run in `folder` with: it passes every event on, and draws the page.

    However the block ends, the page is drawn once more where anything has happened. Where it cannot be drawn, that is
    one note, and the run goes on.
    """
    page = _LivePage(folder, report)
    try:
        yield page
    finally:
        if page.has_changed:
            page.draw()


@dataclass
class _LivePage:
    folder: Path
    report: Report
    has_changed: bool = False
    has_failed: bool = False

    def __call__(self, event: Event) -> None:
        self.report(event)
        match event:
            case Validated():
                self.draw()
            case Started() | Scored():
                self.has_changed = True

    def draw(self) -> None:
        """Write the page of what is in the folder, if there is a run in it."""
        if not (self.folder / "recipe.toml").is_file():
            return
        try:
            write_run_page(self.folder)
            self.has_changed = False
        except Exception as error:  # whatever is wrong with a page, a run must not end for it
            if not self.has_failed:
                self.report(Note(f"{self.folder / PAGE}: not drawn, the run goes on: {error}"))
            self.has_failed = True
