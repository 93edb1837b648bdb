"""What somebody has to learn from (a file, a folder, a data set on the hub) -> the lines of `[data]` that name it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafit.data.hub import HubSet, pinned
from lorafit.data.places import own_files
from lorafit.data.readers import known_suffixes, reader_for
from lorafit.data.sample import Sample, hub_sample, sample_rows
from lorafit.errors import Advice, DataError, NotFoundError
from lorafit.hub import OnBytes
from lorafit.recipe import DataSection

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_ABOUT_DATA = ("readme", "license", "licence", "changelog")  # files that hold no rows
_NAMED = 3  # other files that are named


@dataclass(frozen=True)
class Key:
    """A line of a recipe."""

    name: str
    value: object
    reason: str = ""


@dataclass(frozen=True)
class Given:
    """Where the rows are, as lines of `[data]`; the first training rows; whether there are rows to validate on."""

    keys: Sequence[Key]
    sample: Sample
    has_valid: bool


def given_data(data: Path, tell: OnBytes) -> Given:
    """A file; a folder with a file for each split, or with files of training rows; or a data set on the hub.

    Raises NotFoundError where nothing is there, DataError for a folder in which several things could be meant.
    """
    if data.is_dir():
        return _folder(data)
    return (
        Given([Key("train", str(data))], sample_rows([data]), False) if data.exists() else _of_hub(data, tell)
    )


def _folder(data: Path) -> Given:
    splits = own_files(data)
    if "train" in splits:
        names = " and ".join(path.name for path in splits.values())
        return Given(
            [Key("dir", str(data), f"its {names}")], sample_rows([splits["train"]]), "valid" in splits
        )
    files, others = _training_files(data, [*splits.values()])
    named = [*others[:_NAMED], *([f"{len(others) - _NAMED:,} more"] if len(others) > _NAMED else [])]
    reason = f"every file of rows there{', not ' * bool(named)}{' and '.join(named)}"
    keys = [
        Key("train", str(files[0]) if len(files) == 1 else [*map(str, files)], reason),
        *(Key(split, str(path)) for split, path in splits.items()),
    ]
    return Given(keys, sample_rows(files), "valid" in splits)


def _training_files(data: Path, others: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The files of rows, all of one format, and the names of what else is there."""
    suffixes = tuple(known_suffixes())
    found = [path for path in sorted(data.iterdir()) if path not in others and not path.name.startswith(".")]
    files = [
        path
        for path in found
        if path.is_file()
        and path.name.lower().endswith(suffixes)
        and not path.name.lower().startswith(_ABOUT_DATA)
    ]
    if not files:
        raise NotFoundError(f"{data}: no file of rows there ({', '.join(suffixes[: len(suffixes) // 2])})")
    formats = sorted({reader_for(path).name for path in files})
    if len(formats) > 1:
        what = f"{data}: holds files of several formats ({', '.join(formats)}), and none is called train"
        raise DataError(what, Advice("name the file to learn from"))
    return files, [path.name for path in found if path not in files]


def _of_hub(data: Path, tell: OnBytes) -> Given:
    """A data set on the hub, by its name; it is fetched where it is not in the cache."""
    hub_id = str(data)
    looks_like_file = data.parent.is_dir() or hub_id.lower().endswith(tuple(known_suffixes()))
    if looks_like_file or not _HUB_ID.fullmatch(hub_id):
        raise NotFoundError(f"{data}: no such file or folder")
    try:
        found = HubSet(hub_id).cached() or HubSet(hub_id).fetch(tell)
    except NotFoundError as error:
        what = f"{data}: no such file or folder; as a data set of the hub: {error.what}"
        raise NotFoundError(what, Advice("check the name and the network")) from None
    known = pinned(DataSection(hub=hub_id, hub_config=found.config, hub_revision=found.commit))
    splits = {} if known is None else {split: names[0] for split, names in known.files().items()}
    if "train" not in splits:
        raise NotFoundError(f"{hub_id}: has no split 'train'; there are {', '.join(found.splits)}")
    config = [] if found.config == "default" else [Key("hub_config", found.config, "the configuration")]
    keys = [
        Key("hub", hub_id, f"its splits {' and '.join(splits.values())}"),
        *config,
        Key("hub_revision", found.commit, "this very state of it; without this line the newest one"),
    ]
    return Given(keys, hub_sample(found, splits["train"]), "valid" in splits)
