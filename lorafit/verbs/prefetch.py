"""Recipes -> their bases, tokenizers and data in the caches, for machines without network.

lorafit.lock records what was fetched: revision and hashes of every base, number and hash of the rows of every split.
With `check` nothing is fetched: everything that is missing or differs from lorafit.lock is listed at once.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ParamSpec

import tomli_w
from huggingface_hub import constants

from lorafit.data.download import fetch_files
from lorafit.data.hub import fetched, pinned
from lorafit.data.originals import data_root
from lorafit.data.rows import Row
from lorafit.errors import Advice, DataError, LorafitError, NotFoundError, reason_of
from lorafit.files import local_path, write_text
from lorafit.models import base_folder, base_identity, missing_files
from lorafit.models.files.fetch import fetch_base
from lorafit.recipe import ModelSection
from lorafit.run.arrivals import arrivals
from lorafit.run.events import Downloading, Note, Report, Working
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.tasks import PRESETS, load_rows

LOCK_FILE = Path("lorafit.lock")
FORMAT_VERSION = 1

P = ParamSpec("P")


@dataclass(frozen=True)
class LockedBase:
    """A base in the cache; `revision` is the hub's commit, None for a local folder."""

    revision: str | None
    config_hash: str
    weights_hash: str


@dataclass(frozen=True)
class LockedSplit:
    """The examples of a split; the hash is over the examples themselves, however their files are laid out."""

    rows: int
    sha256: str


@dataclass(frozen=True)
class Lock:
    """lorafit.lock: bases by id (`id@revision` where a recipe names one), splits by data set and name.

    `hub`: the commit of every data set on the hub, by `id`, `id@revision` where a recipe names one.
    """

    bases: dict[str, LockedBase] = field(default_factory=dict)
    data: dict[str, dict[str, LockedSplit]] = field(default_factory=dict)
    hub: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> Lock:
        """The lock of an earlier call, or an empty one. Raises DataError for a file that is no lock."""
        if not path.is_file():
            return Lock()
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
            bases = {
                name: LockedBase(**{"revision": None, **base}) for name, base in document["bases"].items()
            }
            data = {
                name: {split: LockedSplit(**entry) for split, entry in splits.items()}
                for name, splits in document["data"].items()
            }
            hub = {str(name): str(commit) for name, commit in document.get("hub", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            fault = f"{path}: is not a lock file of this lorafit ({reason_of(error)})"
            raise DataError(fault, Advice("delete it")) from None
        return Lock(bases, data, hub)

    def write(self, path: Path) -> None:
        """Write it as TOML."""
        document = {"format_version": FORMAT_VERSION, **asdict(self)}
        for base in document["bases"].values():
            if base["revision"] is None:
                del base["revision"]  # TOML has no None
        write_text(path, tomli_w.dumps(document))

    def differences(self, found: Lock) -> list[str]:
        """A line for every difference between the lock and what was found; what the lock lacks cannot differ."""
        lines = [
            f"{name}: the cache has {_short(base)}, and the lock says {_short(self.bases[name])}"
            for name, base in found.bases.items()
            if name in self.bases and self.bases[name] != base
        ]
        lines += [
            f"{name}: the cache has {commit[:12]}, and the lock says {self.hub[name][:12]}"
            for name, commit in found.hub.items()
            if self.hub.get(name, commit) != commit
        ]
        for name, splits in found.data.items():
            for split, entry in splits.items():
                locked = self.data.get(name, {}).get(split, entry)
                if locked != entry:
                    lines.append(
                        f"{name}, {split} split: {entry.rows:,} rows {entry.sha256[:12]}, and the lock says "
                        f"{locked.rows:,} rows {locked.sha256[:12]}"
                    )
        return lines

    def updated(self, found: Lock) -> Lock:
        """The lock with what was found in place of its own entries."""
        data = {name: self.data.get(name, {}) | found.data.get(name, {}) for name in self.data | found.data}
        return Lock(self.bases | found.bases, data, self.hub | found.hub)


@dataclass(frozen=True)
class PrefetchResult:
    """What was fetched or found, and the lock that records it."""

    lock_path: Path
    found: Lock
    checked: bool


def prefetch(
    recipes: Sequence[str], overrides: list[str], lock_path: Path, report: Report, *, check: bool
) -> PrefetchResult:
    """Fetch base, tokenizer and data of every recipe, and write the lock; with `check`, only look.

    Raises NotFoundError with a line for everything that is missing or malformed, or differs from the lock.
    """
    lock = Lock.read(lock_path)
    found, faults = Lock(), list[LorafitError]()
    for name in recipes:
        recipe = open_recipe(name, overrides)
        of_base = [] if check else _faults(_fetch_base, recipe.model, report)
        of_data = [] if check else _faults(_fetch_data, recipe, report)
        report(Working(f"reading and hashing what {recipe.name} needs"))
        faults += of_base or _look_at_base(recipe.model, found)
        faults += of_data or _look_at_data(recipe, found)
    report(Working(""))
    differences = lock.differences(found)
    if check:
        faults += map(NotFoundError, differences)
    if faults:
        raise NotFoundError.joined(faults)
    if not check:
        for line in differences:
            report(Note(f"changed since {lock_path} was written: {line}"))
        lock.updated(found).write(lock_path)
    return PrefetchResult(lock_path, found, check)


def _look_at_data(recipe: Recipe, found: Lock) -> list[LorafitError]:
    """Add the rows that are at hand to `found`. Returns the errors of the rest."""
    try:
        data = pinned(recipe.data)
        rows = load_rows(recipe.task, data or recipe.data)
    except (NotFoundError, DataError) as error:
        return [error]
    name = recipe.task.name if recipe.task.name in PRESETS else recipe.name
    if data is not None and data.hub is not None:
        asked = recipe.data.hub_revision
        found.hub[f"{data.hub}@{asked}" if asked else data.hub] = str(data.hub_revision)
    faults: list[LorafitError] = []
    for split in rows.splits_of_run:
        try:
            found_rows = rows.rows(split)
        except (NotFoundError, DataError) as error:
            faults.append(error)
        else:
            found.data.setdefault(name, {})[split] = LockedSplit(len(found_rows), _hash(found_rows))
    return faults


def _look_at_base(section: ModelSection, found: Lock) -> Sequence[LorafitError]:
    """Add a base that is at hand to `found`. Returns the errors of what is not."""
    if missing := missing_files(section.base, section.revision):
        return missing
    folder = base_folder(section.base, section.revision)
    identity = base_identity(section.base, section.revision, folder)
    is_local = local_path(section.base).is_dir()
    name = f"{section.base}@{section.revision}" if section.revision else section.base
    found.bases[name] = LockedBase(
        None if is_local else folder.name, identity.config_hash or "", identity.weights_hash or ""
    )
    return []


def _fetch_base(section: ModelSection, report: Report) -> None:
    """Download config, tokenizer and weights of a base on the hub."""
    if local_path(section.base).is_dir():
        return
    report(Note(f"{section.base}: looking for {section.revision or 'its main branch'}"))
    report(Working(f"fetching {section.base}"))
    with arrivals(section.base, report) as tell:
        fetch_base(section.base, section.revision, tell)


def _fetch_data(recipe: Recipe, report: Report) -> None:
    """Download the original files where the recipe means these, and the data set on the hub that it names."""
    if recipe.data.hub is not None:
        report(Note(f"{recipe.data.hub}: looking for {recipe.data.hub_revision or 'its main branch'}"))
        report(Working(f"fetching {recipe.data.hub}"))
        if not (constants.HF_HUB_OFFLINE and pinned(recipe.data)):
            with arrivals(recipe.data.hub, report) as tell:
                fetched(recipe.data, tell)
        return
    preset = PRESETS.get(recipe.task.name)
    if preset and preset.original and recipe.data.dir is None and not recipe.data.files():
        fetch_files(preset.original, data_root(), lambda *progress: report(Downloading(*progress)))


def _faults(fetch: Callable[P, object], *arguments: P.args, **options: P.kwargs) -> list[LorafitError]:
    """What goes wrong when this is fetched."""
    try:
        fetch(*arguments, **options)
    except (NotFoundError, DataError) as error:
        return [error]
    return []


def _hash(rows: Sequence[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row.to_json(), sort_keys=True).encode())
    return digest.hexdigest()


def _short(base: LockedBase) -> str:
    return f"{(base.revision or 'a folder')[:12]} with weights {base.weights_hash[:12]}"
