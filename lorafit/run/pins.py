"""What a run takes from the hub before it is planned: the base's config, and a data set, whose commit is pinned and
kept by what has begun."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from huggingface_hub import constants

from lorafit.data.hub import fetched, pinned
from lorafit.errors import LorafitError, NotFoundError
from lorafit.models.files.fetch import fetch_config
from lorafit.models.shapes import KNOWN_SHAPES
from lorafit.recipe import DataSection, assignment
from lorafit.run.arrivals import arrivals
from lorafit.run.events import Report, Working
from lorafit.run.files.folder import RunFolder
from lorafit.run.recipes import open_recipe

_MAIN = (None, constants.DEFAULT_REVISION)  # what a revision may be that a run has made a commit of


def pins(
    name_or_path: str | Path,
    overrides: Sequence[str],
    output: Path | None,
    report: Report,
    seeds: Sequence[int] = (),
) -> list[str]:
    """Overrides that say commit and configuration of `data.hub`, which is fetched where it is not here; mostly none.

    So is what a plan reads of the base. With `seeds`, the runs of all of them read the same. Raises NotFoundError where
    the hub gives none.
    """
    recipe = open_recipe(name_or_path, overrides)
    data = recipe.data
    if recipe.model.base not in KNOWN_SHAPES:
        fetch_config(recipe.model.base, recipe.model.revision)
    if data.hub is None:
        return []
    alone = RunFolder.of(recipe, output)
    of_seeds = [(output or alone.path.parent) / f"seed-{seed}" for seed in seeds]
    begun = _begun_with(data, map(RunFolder, of_seeds) if seeds else [alone])
    try:
        known = pinned(begun or data) or _fetched(begun or data, report)
    except NotFoundError:
        if begun is None:
            raise
        known = begun  # a finished run can be shown without its rows
    return [
        assignment("data.hub_revision", known.hub_revision),
        assignment("data.hub_config", known.hub_config),
    ]


def _fetched(data: DataSection, report: Report) -> DataSection:
    report(Working(f"fetching {data.hub}"))
    with arrivals(str(data.hub), report) as tell:
        return fetched(data, tell)


def _begun_with(data: DataSection, folders: Iterable[RunFolder]) -> DataSection | None:
    """`[data]` with the commit that the first of the runs began with; None where it means another data set."""
    for folder in folders:
        try:
            kept = open_recipe(folder.recipe).data if folder.recipe.is_file() else None
        except LorafitError:
            continue  # whoever opens the folder says what is wrong with it
        if kept is None or kept.hub != data.hub or data.hub_revision not in _MAIN:
            continue
        if data.hub_config in (None, kept.hub_config):
            return data.model_copy(update={"hub_revision": kept.hub_revision, "hub_config": kept.hub_config})
    return None
