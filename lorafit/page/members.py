"""Several runs side by side: in what they differ, how they score, and what a sweep says of its members."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lorafit.errors import DataError, NotFoundError
from lorafit.files import JsonObject
from lorafit.page.run import Run, read_run
from lorafit.page.scores import higher_is_better
from lorafit.page.settings import shown, values
from lorafit.recipe.read import INCIDENTAL
from lorafit.run.files.paths import RunPaths, run_folders
from lorafit.run.files.summary import flatten, read_object

SWEEP_FILE = "sweep.json"
_SEED = "train.seed"
_ASIDE = {"task.headline", *(f"{section}.{key}" for section, key in INCIDENTAL)}
"""Keys that say nothing of what comes out."""


@dataclass(frozen=True)
class Member:
    """One run among several. `run` is None where its folder is not there; `settings` are those in which they differ.

    `scores` are by flat name; `loss` is that of the best validation.
    """

    name: str
    run: Run | None
    settings: Mapping[str, Any]
    seed: int
    state: str
    scores: Mapping[str, float]
    loss: float | None
    is_best: bool = False

    @property
    def alike(self) -> tuple[str, ...]:
        """The settings without the seed: the same of runs that differ in nothing else."""
        return tuple(f"{key}={value!r}" for key, value in self.settings.items() if key != _SEED)

    def value(self, score: str) -> float | None:
        """A score, or the validation loss."""
        return self.loss if score == LOSS else self.scores.get(score)


LOSS = "validation loss"
"""What runs without scores are compared by."""


@dataclass(frozen=True)
class Members:
    """All of them. `keys` are the settings in which they differ; `scores` the names of all scores, `headline` first."""

    members: Sequence[Member]
    keys: Sequence[str]
    scores: Sequence[str]
    is_sweep: bool
    answer: str = ""  # of a sweep, in a sentence

    @property
    def headline(self) -> str:
        """The score by which they are compared; the validation loss where there is none."""
        return self.scores[0] if self.scores else LOSS

    @property
    def num_ranked(self) -> int:
        """How many have the headline."""
        return sum(member.value(self.headline) is not None for member in self.members)

    @cached_property
    def ranked(self) -> Sequence[Member]:
        """By headline, the best first, and that which the sweep names before all; those without one last."""
        sign = 1 if higher_is_better(self.headline) and self.headline != LOSS else -1

        def rank(member: Member) -> tuple[bool, float]:
            value = member.value(self.headline)
            return member.is_best, -math.inf if value is None else sign * value

        return sorted(self.members, key=rank, reverse=True)

    @property
    def best(self) -> Member | None:
        """The one that the sweep names, else the one with the best headline."""
        first = next(iter(self.ranked), None)
        return first if first and (first.is_best or first.value(self.headline) is not None) else None

    def leading(self, most: int) -> Sequence[Member]:
        """All of them, or as many of the best, in their own order."""
        if len(self.members) <= most:
            return self.members
        chosen = {id(member) for member in self.ranked[:most]}
        return [member for member in self.members if id(member) in chosen]

    @property
    def groups(self) -> list[Sequence[Member]]:
        """Those that differ in nothing but their seed, where there are two or more with the same settings."""
        found: dict[tuple[str, ...], list[Member]] = {}
        for member in self.members:
            found.setdefault((_base_name(member), *member.alike), []).append(member)
        return list(found.values()) if any(len(group) > 1 for group in found.values()) else []


def find_members(places: Sequence[Path]) -> Members:
    """The runs that are meant by run folders, folders of runs and folders of sweeps.

    Raises NotFoundError for a place without a run, DataError for files that are not what lorafit writes.
    """
    found: list[Member] = []
    is_sweep, answers = False, list[str]()
    for place in places:
        if (place / SWEEP_FILE).is_file() and not RunPaths(place).recipe.is_file():
            is_sweep = True
            sweep = _read_sweep(place)
            found += _of_sweep(place, sweep)
            answers += [str(sweep["answer"])] if sweep.get("answer") else []
        else:
            found += [_of_run(read_run(folder)) for folder in _folders(place)]
    unique = list(
        {member.run.path.resolve() if member.run else member.name: member for member in found}.values()
    )
    return replace(_together(unique, is_sweep=is_sweep), answer="; ".join(answers))


def mean_and_std(known: Iterable[float | None]) -> tuple[float | None, float | None, int]:
    """(mean, sample standard deviation, how many); None of too few."""
    there = [value for value in known if value is not None]
    mean = statistics.fmean(there) if there else None
    return mean, statistics.stdev(there) if len(there) > 1 else None, len(there)


def _folders(place: Path) -> Iterator[Path]:
    if RunPaths(place).recipe.is_file():
        yield place
        return
    folders = sorted(run_folders(place)) if place.is_dir() else []
    if not folders:
        raise NotFoundError(f"{place}: no run folder, and none lies in it")
    yield from folders


def _of_run(run: Run) -> Member:
    flat = {f"{section}.{key}": value for section, keys in values(run).items() for key, value in keys.items()}
    loss = run.best_validation.get("loss")
    return Member(
        str(run.path), run, flat, run.seed, run.state, flatten(run.result.get("scores") or {}), loss
    )


def _read_sweep(place: Path) -> JsonObject:
    path = place / SWEEP_FILE
    try:
        sweep = read_object(path) or {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    members = sweep.get("members")
    if not isinstance(members, list) or not all(isinstance(entry, dict) for entry in members):
        raise DataError(f"{path}: members: a list of objects is expected")
    return sweep


def _of_sweep(place: Path, sweep: JsonObject) -> Iterator[Member]:
    """The members that sweep.json names, with what their folders hold where these are there."""
    for index, entry in enumerate(sweep["members"]):
        yield _of_entry(place, entry, is_best=index == sweep.get("best"))


def _of_entry(place: Path, entry: JsonObject, *, is_best: bool) -> Member:
    said = Path(str(entry.get("run", "")))
    folder = next((path for path in (place / said, said) if RunPaths(path).recipe.is_file()), None)
    known = _of_run(read_run(folder)) if folder is not None else None
    overrides = dict(entry.get("overrides") or {})
    given: Mapping[str, object] = entry.get("scores") or {}
    match given:
        case {"scores": dict() as inner}:
            given = inner
    scores = flatten(given) or (known.scores if known else {})
    told = entry.get("validation")
    loss = told.get("loss") if isinstance(told, dict) else told
    return Member(
        name=str(folder or place / said),
        run=known.run if known else None,
        settings={**(known.settings if known else {}), **overrides},
        seed=int(entry.get("seed") or (known.seed if known else 0)),
        state=str(entry.get("state") or (known.state if known else "")),
        scores=scores,
        loss=known.loss if known and known.loss is not None else loss,
        is_best=is_best,
    )


def _together(members: Sequence[Member], *, is_sweep: bool) -> Members:
    """Their names without what is common to all, and the settings in which they differ."""
    keys = [
        key
        for key in _all_keys(members)
        if key not in _ASIDE and not key.startswith("track.") and _differ(members, key)
    ]
    names = _short_names([member.name for member in members])
    scores = dict.fromkeys(name for member in members for name in member.scores)
    headlines = [member.run.headline for member in members if member.run is not None and member.run.headline]
    counts = Counter(name for name in headlines if name in scores)
    first = max(counts, key=counts.__getitem__, default=None)  # of several tasks, that of the most runs
    order = [first, *(name for name in scores if name != first)] if first else list(scores)
    kept = [
        Member(
            name,
            member.run,
            {key: member.settings[key] for key in keys if key in member.settings},
            member.seed,
            member.state,
            member.scores,
            member.loss,
            member.is_best,
        )
        for name, member in zip(names, members, strict=True)
    ]
    return Members(kept, keys, order, is_sweep)


def _all_keys(members: Sequence[Member]) -> list[str]:
    """The seed last."""
    keys = dict.fromkeys(key for member in members for key in member.settings if key != _SEED)
    return [*keys, _SEED]


def _differ(members: Sequence[Member], key: str) -> bool:
    return len({json.dumps(member.settings.get(key), default=str) for member in members}) > 1


def _short_names(names: Sequence[str]) -> list[str]:
    """Paths without the folders that all have in common."""
    if len(names) < 2:
        return list(names)
    common = os.path.commonpath([str(Path(name).parent) for name in names])
    return [os.path.relpath(name, common) if common else name for name in names]


def _base_name(member: Member) -> str:
    return member.run.name if member.run else ""


def setting_text(member: Member, key: str) -> str:
    """A setting of a member as a person reads it; empty where it has none."""
    return shown(member.settings[key]) if key in member.settings else ""
