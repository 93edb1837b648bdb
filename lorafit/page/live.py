"""The page of a run while it goes: drawn anew at every validation, and in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lorafit.page.one import write_run_page
from lorafit.page.run import PAGE
from lorafit.page.several import write_several
from lorafit.run.events import Event, Note, OfMember, Report, Scored, Started, Validated
from lorafit.run.files.paths import RunPaths


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


@contextmanager
def drawing_members(folders: Mapping[str, Path], report: Report) -> Iterator[Report]:
    """The same for runs that are trained together, by their names."""
    pages = {name: _LivePage(folder, report) for name, folder in folders.items()}

    def tell(event: Event) -> None:
        report(event)
        match event:
            case OfMember(name, inner) if name in pages:
                pages[name].notice(inner)

    try:
        yield tell
    finally:
        for page in pages.values():
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
        self.notice(event)

    def notice(self, event: Event) -> None:
        """Draw after a validation; remember that something has happened otherwise."""
        match event:
            case Validated():
                self.draw()
            case Started() | Scored():
                self.has_changed = True

    def draw(self) -> None:
        """Write the page of what is in the folder, if there is a run in it. Says once what keeps it from that."""
        if RunPaths(self.folder).recipe.is_file():
            report = ignore if self.has_failed else self.report
            self.has_failed = drawn(lambda: write_run_page(self.folder), self.folder / PAGE, report) is None
            self.has_changed = False


def draw_several(folders: Sequence[Path], page: Path, report: Report) -> None:
    """The page of several runs, or a note."""
    drawn(lambda: write_several(folders, page), page, report)


def drawn(write: Callable[[], Path], page: Path, report: Report) -> Path | None:
    """The page that `write` writes; None, and a note, where it cannot: whatever is wrong with a page, no run ends for
    it."""
    try:
        return write()
    except Exception as error:
        report(Note(f"{page}: cannot be drawn: {str(error).removeprefix(f'{page}: ')}"))
        return None


def ignore(event: Event) -> None:
    """Reports nothing."""
    del event
