"""What a run is made of besides its recipe: its rows, its base and the adapter that it starts from, each by its hash.

A run **is** its recipe and its inputs. Their hashes go into its checkpoints, its adapter and its scores, and by these
it is told whether a folder holds this very run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    """One of them: where it is, in the words of a message, and its sha256."""

    where: str
    sha256: str


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
        looks: dict[str, Callable[[], Input | None]] = {
            **{f"{_DATA}{split}": partial(_rows, rows, split) for split in rows.splits_of_run},
            "base.config": partial(_base_config, recipe.model),
            "base.weights": partial(_base_weights, recipe.model),
            "base.tokenizer": partial(_base_tokenizer, recipe.model),
            **{name: partial(_adapter, folder) for name, folder in starts.items() if folder is not None},
        }
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
        return {name: dict(vars(each)) for name, each in self.by_name.items()}

    def sha256(self, name: str) -> str | None:
        """None for what the run does not have."""
        return self.by_name[name].sha256 if name in self.by_name else None

    @property
    def data(self) -> dict[str, str]:
        """The hash of every split."""
        splits = {name: each for name, each in self.by_name.items() if name.startswith(_DATA)}
        return {name.removeprefix(_DATA): each.sha256 for name, each in splits.items()}

    @property
    def others(self) -> dict[str, str]:
        """The hash of every other one for which a card has no place of its own."""
        places = ("base.config", "base.weights")
        rest = {name: each for name, each in self.by_name.items() if name not in places}
        return {name: each.sha256 for name, each in rest.items() if not name.startswith(_DATA)}

    def changed(self, now: Inputs) -> list[str]:
        """`data.train (rows.csv)` for each one of `now` that was another, or is a split that the run did not have.

        Nothing is said of what is not known of these.
        """
        comparable = [
            name for name in now.by_name if name in self.by_name or (name.startswith(_DATA) and self.data)
        ]
        changed = [name for name in comparable if self.sha256(name) != now.sha256(name)]
        return [f"{name} ({now.by_name[name].where})" for name in changed]

    def unknown(self, now: Inputs) -> list[str]:
        """Those of `now` that are not known of these, though the run had them."""
        return [
            name
            for name in now.by_name
            if name not in self.by_name and not (name.startswith(_DATA) and self.data)
        ]

    def gone(self, now: Inputs) -> list[str]:
        """Those of these that are not among `now`."""
        return [
            f"{name} ({each.where})" if each.where else name
            for name, each in self.by_name.items()
            if name not in now.by_name
        ]


def _if_there(look: Callable[[], Input | None]) -> Input | None:
    try:
        return look()
    except (NotFoundError, DataError):
        return None


def _rows(rows: Rows, split: Split) -> Input:
    return Input(", ".join(rows.places(split)), rows.identity(split))


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


def _adapter(name: str) -> Input:
    """The file of an adapter's tensors, in which stands what they are for."""
    path = local_path(name) / TENSOR_FILE
    try:
        return Input(str(path), file_hash(path))
    except OSError as error:
        raise NotFoundError(f"{path}: cannot be read: {error.strerror}") from None
