"""The trackers of a run: which the recipe asks for, and what they are told of it."""

from __future__ import annotations

from lorafit.errors import lookup
from lorafit.recipe import TrackSection
from lorafit.run.events import Note, Report
from lorafit.run.files.folder import RunFolder
from lorafit.run.files.summary import read_events
from lorafit.run.recipes import Recipe
from lorafit.track import TRACKERS, Feed, TrackedRun, Tracker


def trackers_of(section: TrackSection) -> dict[str, type[Tracker]]:
    """By name. Raises RecipeError for a name that is none."""
    return {name: lookup(TRACKERS, name, "tracker", where="[track] to") for name in section.to}


def open_feed(recipe: Recipe, folder: RunFolder, report: Report) -> Feed:
    """Trackers that know what metrics.jsonl holds so far. A run that no tracker is asked for has a feed to nobody."""
    section = recipe.track
    run = TrackedRun(
        folder.tracked,
        f"{recipe.name}/seed-{recipe.train.seed}",
        recipe.model_dump(mode="json", exclude={"track"}),
        section.project,
        section.offline,
    )
    feed = Feed(trackers_of(section), run, lambda text: report(Note(text)))
    feed.replay(read_events(folder.metrics) if section.to else ())
    return feed
