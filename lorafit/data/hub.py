"""Data sets of the Hugging Face hub, by the cache of the datasets library.

A run reads one commit of one configuration. What the cache holds of it is found without network, by its commit: the
library itself takes the newest copy that it has, of whatever commit, where the hub is out of reach.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import constants

from lorafit.data.rows import RawRow
from lorafit.data.sources import Missing, RowFile, RowSource
from lorafit.data.splits import SPLIT_NAMES
from lorafit.errors import (
    Advice,
    DataError,
    LorafitError,
    NotFoundError,
    RunCommand,
    SetKey,
    lookup,
    reason_of,
)
from lorafit.hub import OnBytes, causes, is_of_hub, telling, why_no_hub
from lorafit.recipe import SPLITS, DataSection, Split

if TYPE_CHECKING:
    from datasets import ClassLabel

_COMMIT = re.compile(r"[0-9a-f]{40}")
_LOCAL = (SetKey("data.dir", "FOLDER", "a local copy"), SetKey("data.train", "FILE"))


@dataclass(frozen=True)
class HubSet:
    """A data set on the hub: None stands for its default configuration, and for the main branch."""

    hub_id: str
    config: str | None = None
    revision: str | None = None

    def cached(self) -> CachedSet | None:
        """What the cache has of it; None where it has nothing. Nothing is fetched.

        Raises DataError where several configurations are there and none is the default one.
        """
        commit = self._commit()
        found = _folders(self.hub_id, commit) if commit is not None else {}
        if self.config is not None:
            return found.get(self.config)
        if len(found) > 1 and "default" not in found:
            raise DataError(
                f"{self.hub_id}: has the configurations {', '.join(sorted(found))}",
                SetKey("data.hub_config", note="to one of them"),
            )
        return found.get("default") or next(iter(found.values()), None)

    def fetch(self, tell: OnBytes | None = None) -> CachedSet:
        """Download it into the cache; what is there already is not downloaded again.

        Raises NotFoundError where the hub gives none, DataError for a configuration that there is not.
        """
        import datasets
        from huggingface_hub import HfApi

        datasets.disable_progress_bars()
        try:
            commit = str(HfApi().dataset_info(self.hub_id, revision=self.revision).sha)
            name = f"hf://datasets/{self.hub_id}"  # and not a folder that happens to be called so
            builder = datasets.load_dataset_builder(name, self.config, revision=commit)
            if builder.hash == commit:  # and not another copy, which it takes when the hub is lost on the way
                if tell is not None and builder.config.name not in _folders(self.hub_id, commit):
                    self._fetch_files(commit, builder.config.data_files or {}, tell)
                builder.download_and_prepare()
        except ValueError as error:
            raise self._unreadable(error) from error
        except Exception as error:  # datasets, huggingface_hub and httpx each have errors of their own
            if is_of_hub(error):
                raise self._out_of_reach(error) from error
            raise DataError(
                f"{self.hub_id}: its rows cannot be read: {reason_of(causes(error)[-1])}"
            ) from error
        found = _folders(self.hub_id, commit).get(builder.config.name)
        if found is None:
            raise self._out_of_reach(ConnectionError())
        self._remember(commit)
        return found

    def _fetch_files(self, commit: str, files: Mapping[str, Sequence[str]], tell: OnBytes) -> None:
        """Download the files of a configuration to where `datasets` looks for them: it tells nobody how far it is."""
        from huggingface_hub import snapshot_download

        prefix = f"hf://datasets/{self.hub_id}@{commit}/"
        paths = [str(path).rpartition("::")[2] for of_split in files.values() for path in of_split]
        own = sorted({glob.escape(path.removeprefix(prefix)) for path in paths if path.startswith(prefix)})
        if own:
            snapshot_download(
                self.hub_id,
                repo_type="dataset",
                revision=commit,
                allow_patterns=own,
                tqdm_class=telling(tell),
            )

    def _unreadable(self, error: ValueError) -> LorafitError:
        """`datasets` says with a ValueError which configurations there are."""
        from huggingface_hub.errors import HFValidationError

        if isinstance(error, HFValidationError):
            return NotFoundError(f"{self.hub_id}: no name of a data set on the hub, which is owner/name")
        what = " ".join(str(error).split())
        return DataError(
            f"{self.hub_id}: as a data set of the hub: {what}",
            SetKey("data.hub_config", note="to one that there is"),
        )

    def _out_of_reach(self, error: Exception) -> NotFoundError:
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else why_no_hub(error)
        at = f" at {self.revision}" if self.revision and not _COMMIT.fullmatch(self.revision) else ""
        return NotFoundError(
            f"{self.hub_id}{f'/{self.config}' if self.config else ''}{at}: not in the Hugging Face cache, and the hub "
            f"gave none ({why})",
            Advice("check the name and the network"),
            RunCommand("lorafit fetch RECIPE", "fills the cache, where there is a network"),
        )

    def _commit(self) -> str | None:
        """The commit that the revision stood for when it was fetched."""
        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            return self.revision
        try:
            return self._ref().read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return None

    def _remember(self, commit: str) -> None:
        """For which commit the revision stands, where the hub's own cache keeps it, too."""
        if commit != self.revision:
            self._ref().parent.mkdir(parents=True, exist_ok=True)
            self._ref().write_text(commit, encoding="utf-8")

    def _ref(self) -> Path:
        name = "--".join(["datasets", *self.hub_id.split("/")])
        return Path(constants.HF_HUB_CACHE) / name / "refs" / (self.revision or constants.DEFAULT_REVISION)


@dataclass(frozen=True)
class CachedSet:
    """One configuration of a data set at one commit, in the cache; the number of rows of every split."""

    folder: Path
    config: str
    commit: str
    splits: Mapping[str, int]

    def rows(self, split: str, *, names_of_classes: bool) -> Iterator[RawRow]:
        """The rows of a split, numbered from 1; of a column of classes the names, or the numbers as they are stored.

        Raises DataError for a damaged cache.
        """
        import datasets

        pieces = [self.folder.glob(f"*-{split}.arrow"), self.folder.glob(f"*-{split}-*-of-*.arrow")]
        paths = sorted(path for found in pieces for path in found)
        number = 0
        for path in paths:
            try:
                table = datasets.Dataset.from_file(str(path))
            except (OSError, ValueError) as error:
                raise DataError(
                    f"{path}: cannot be read: {error}", Advice("delete it and fetch again")
                ) from None
            classes = {
                name: feature
                for name, feature in table.features.items()
                if names_of_classes and isinstance(feature, datasets.ClassLabel)
            }
            for fields in table:
                number += 1
                yield RawRow(
                    number, {name: _cell(value, classes.get(name)) for name, value in fields.items()}
                )
        if number != self.splits[split]:
            fault = f"{self.folder}: {number:,} rows of the {split} split, expected {self.splits[split]:,}"
            raise DataError(fault, Advice("delete it and fetch again"))


@dataclass(frozen=True)
class HubRows:
    """Splits of a data set on the hub, one after the other: name of the split -> part."""

    hub_id: str
    revision: str
    config: str
    splits: dict[str, str]
    names_of_classes: bool = False  # rather than their numbers

    def open(self) -> Iterator[RowFile]:
        """Each split; from the cache where it is there."""
        for split, part in self.splits.items():
            yield RowFile(self._where(split), self._rows(split), ("row", "rows"), has_header=True).of_part(
                part
            )

    def hashes(self) -> dict[str, str]:
        """Of each split."""
        return {self._where(split): self._hash(split) for split in self.splits}

    def identity(self) -> str:
        """Over id, revision, config and splits: the revision pins the rows."""
        return self._hash(*self.splits)

    def at_hand(self) -> bool:
        return self._set.cached() is not None

    @property
    def _set(self) -> HubSet:
        return HubSet(self.hub_id, self.config, self.revision)

    def _where(self, split: str) -> str:
        return f"{self.hub_id}/{self.config}/{split}"

    def _hash(self, *splits: str) -> str:
        text = " ".join([self.hub_id, self.revision, self.config, *splits])
        return hashlib.sha256(text.encode()).hexdigest()

    def _rows(self, split: str) -> Iterator[RawRow]:
        """Raises NotFoundError when neither the hub nor its cache has them."""
        try:
            found = self._set.cached() or self._set.fetch()
        except NotFoundError as error:
            raise NotFoundError(error.message, *error.remedies, *_LOCAL) from error
        yield from found.rows(split, names_of_classes=self.names_of_classes)


def pinned(data: DataSection) -> DataSection | None:
    """`[data]` with the commit, the configuration and the splits that it stands for; None where `data.hub` is not here.

    Nothing is fetched. `data` as it is where it names no data set on the hub.
    """
    if data.hub is None:
        return data
    found = HubSet(data.hub, data.hub_config, data.hub_revision).cached()
    return None if found is None else _pinned(data, found)


def fetched(data: DataSection, tell: OnBytes | None = None) -> DataSection:
    """The same, with what the hub has now; `tell` receives the bytes. Raises NotFoundError where it gives none."""
    if data.hub is None:
        return data
    return _pinned(data, HubSet(data.hub, data.hub_config, data.hub_revision).fetch(tell))


def _pinned(data: DataSection, found: CachedSet) -> DataSection:
    """Raises RecipeError for a split that there is not, DataError where two could be meant."""
    keys: dict[str, object] = {"hub_config": found.config, "hub_revision": found.commit}
    named = data.files()
    for split in SPLITS:
        for name in named.get(split, ()):
            lookup(found.splits, name, "split", where=f"[data] {split}: {data.hub}")
        usual = [name for name in SPLIT_NAMES[split] if name in found.splits]
        if split in named or split in data.shares() or not usual:
            continue
        if len(usual) > 1:
            fault = f"{data.hub}: {' and '.join(usual)} could both be the {split} split"
            raise DataError(fault, SetKey(f"data.{split}", note="to one of them"))
        keys[split] = usual[0]
    return data.model_copy(update=keys)


def hub_splits(data: DataSection) -> dict[Split, RowSource]:
    """The splits of `data.hub`, as the cache has them; where it has none, the error that says how to fetch them."""
    known = pinned(data)
    if known is None:
        return dict.fromkeys(
            ("train", *data.files()),
            Missing(
                f"{data.hub}: not in the Hugging Face cache (data.hub)",
                (RunCommand("lorafit fetch RECIPE", "needs the network"),),
            ),
        )
    sources: dict[Split, RowSource] = {
        split: HubRows(
            str(known.hub), str(known.hub_revision), str(known.hub_config), dict.fromkeys(names, ""), True
        )
        for split, names in known.files().items()
    }
    none = Missing(
        f"{data.hub}: has no split 'train'", (SetKey("data.train", note="to a split that it has"),)
    )
    sources.setdefault("train", none)
    return sources


def _folders(hub_id: str, commit: str) -> dict[str, CachedSet]:
    """What the cache has of a data set at a commit, by the name of the configuration."""
    cache = Path(os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets").expanduser()
    *owner, name = hub_id.split("/")
    if not any(cache.glob("___".join([*owner, "*"]))):
        return {}  # without the library, which takes a second to load
    from datasets.naming import camelcase_to_snakecase

    root = cache / "___".join([*owner, camelcase_to_snakecase(name)])
    found: dict[str, CachedSet] = {}
    for folder in root.glob(f"*/*/{commit}"):
        try:
            info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
            splits = {split: int(entry["num_examples"]) for split, entry in info["splits"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # what was not finished is no copy
        found[folder.parts[-3]] = CachedSet(folder, folder.parts[-3], commit, splits)
    return found


def _cell(value: object, classes: ClassLabel | None) -> object:
    """The name of a class for its number; None for -1, which stands for no class."""
    if classes is None or not isinstance(value, int):
        return value
    return classes.int2str(value) if value >= 0 else None
