"""What a run is made of besides its recipe: its rows, its base and the adapter that it starts from, each by its hash.

A run **is** its recipe and its inputs. Their hashes go into its checkpoints, its adapter and its scores, and by these
it is told whether a folder holds this very run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from lorafit.adapters import AdapterCard
from lorafit.adapters.folder import TENSOR_FILE
from lorafit.errors import DataError, NotFoundError
from lorafit.files import JsonObject, local_path
from lorafit.hashes import file_hash
from lorafit.models import base_folder, config_hash, tokenizer_hash, weight_files, weights_hash
from lorafit.recipe import ModelSection, Split
from lorafit.run.recipes import Recipe
from lorafit.tasks import Rows

_DATA = "data."  # begins the names of splits


@dataclass(frozen=True)
class Input:
    """One of them: where it is, in the words of a message, and its sha256; where it is several files, that of each."""

    where: str
    sha256: str
    files: Mapping[str, str] = field(default_factory=dict)

    def differing(self, now: Input) -> str:
        """Where `now` is another: its changed files, as far as these are known, else all of it."""
        known = set(self.files.values())
        changed = [where for where, sha256 in now.files.items() if known and sha256 not in known]
        return ", ".join(changed) or now.where

    def to_json(self) -> JsonObject:
        """`files` where there are several."""
        return {key: value for key, value in vars(self).items() if value != {}}


Look = Callable[[], Input | None]


@dataclass(frozen=True)
class Inputs:
    """By name: `data.train`, `data.valid`, `data.test`, `base.config`, `base.weights`, `base.tokenizer`,
    `train.init_from`, `method.init_from`; those that the run has."""

    by_name: Mapping[str, Input]

    @staticmethod
    def of(recipe: Recipe, rows: Rows) -> Inputs:
        """As they are now. What is not there is left out: whoever needs it will say so."""
        starts = {
            "train.init_from": recipe.train.init_from,
            "method.init_from": recipe.method.warm_start_source,
        }
        return Inputs._of(
            {
                **{f"{_DATA}{split}": partial(_rows, rows, split) for split in rows.splits_of_run},
                **_looks_at_base(recipe.model),
                **{name: partial(_adapter, folder) for name, folder in starts.items() if folder is not None},
            }
        )

    @staticmethod
    def of_evaluation(rows: Rows, split: Split, model: ModelSection) -> Inputs:
        """What an adapter is scored with."""
        return Inputs._of({f"{_DATA}{split}": partial(_rows, rows, split), **_looks_at_base(model)})

    @staticmethod
    def _of(looks: Mapping[str, Look]) -> Inputs:
        found = {name: _if_there(look) for name, look in looks.items()}
        return Inputs({name: each for name, each in found.items() if each is not None})

    @classmethod
    def of_card(cls, card: AdapterCard) -> Self:
        """Those that an adapter was trained with; without their places."""
        made, base = card.provenance, card.base
        hashes = {
            **{f"{_DATA}{split}": sha256 for split, sha256 in made.data.items()},
            "base.config": base.config_hash,
            "base.weights": base.weights_hash,
            **made.inputs,
        }
        return cls({name: Input("", sha256) for name, sha256 in hashes.items() if sha256 is not None})

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Self:
        """What `to_json` gave. Raises TypeError for anything else."""
        return cls({name: Input(**each) for name, each in value.items()})

    def to_json(self) -> JsonObject:
        """As checkpoints and scores hold them."""
        return {name: each.to_json() for name, each in self.by_name.items()}

    def sha256(self, name: str) -> str | None:
        """None for what the run does not have."""
        return self.by_name[name].sha256 if name in self.by_name else None

    @property
    def data(self) -> dict[str, str]:
        """The hash of every split."""
        return {name.removeprefix(_DATA): self.by_name[name].sha256 for name in self._splits()}

    @property
    def others(self) -> dict[str, str]:
        """The hash of every other one for which a card has no place of its own."""
        placed = {"base.config", "base.weights", *self._splits()}
        return {name: each.sha256 for name, each in self.by_name.items() if name not in placed}

    def changed(self, now: Inputs) -> list[str]:
        """`data.train (rows.csv)` for each one that is another now; of several files those that changed."""
        common = {name: each for name, each in self.by_name.items() if name in now.by_name}
        return [
            _named(name, each.differing(now.by_name[name]))
            for name, each in common.items()
            if each.sha256 != now.sha256(name)
        ]

    def added(self, now: Inputs) -> list[str]:
        """Splits of `now` that the run did not have, where its splits are known."""
        return now._named(name for name in now._splits() if self.data and name not in self.by_name)

    def unknown(self, now: Inputs) -> list[str]:
        """Names of those of `now` that the run had and that are not known of it."""
        added = now._splits() if self.data else ()
        return [name for name in now.by_name if name not in self.by_name and name not in added]

    def gone(self, now: Inputs) -> list[str]:
        """Those that are not among `now`."""
        return self._named(name for name in self.by_name if name not in now.by_name)

    def _splits(self) -> list[str]:
        return [name for name in self.by_name if name.startswith(_DATA)]

    def _named(self, names: Iterable[str]) -> list[str]:
        return [_named(name, self.by_name[name].where) for name in names]


def _named(name: str, where: str) -> str:
    return f"{name} ({where})" if where else name


def _looks_at_base(model: ModelSection) -> dict[str, Look]:
    looks = {"base.config": _base_config, "base.weights": _base_weights, "base.tokenizer": _base_tokenizer}
    return {name: partial(look, model) for name, look in looks.items()}


def _if_there(look: Look) -> Input | None:
    try:
        return look()
    except (NotFoundError, DataError):
        return None


def _rows(rows: Rows, split: Split) -> Input:
    hashes = rows.hashes(split)
    return Input(", ".join(hashes), rows.identity(split), hashes if len(hashes) > 1 else {})


def _base_config(model: ModelSection) -> Input | None:
    folder = base_folder(model.base, model.revision)
    return _input(folder / "config.json", config_hash(folder))


def _base_weights(model: ModelSection) -> Input | None:
    folder = base_folder(model.base, model.revision)
    files = weight_files(folder)
    return _input(files[0] if len(files) == 1 else folder, weights_hash(folder))


def _base_tokenizer(model: ModelSection) -> Input | None:
    folder = base_folder(model.base, model.revision)
    return _input(folder, tokenizer_hash(folder))


def _input(where: Path, sha256: str | None) -> Input | None:
    return None if sha256 is None else Input(str(where), sha256)


def _adapter(name: str) -> Input | None:
    """The file of an adapter's tensors, in which stands what they are for."""
    path = local_path(name) / TENSOR_FILE
    return Input(str(path), file_hash(path)) if path.is_file() else None
