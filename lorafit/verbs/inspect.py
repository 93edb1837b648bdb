"""The data themselves: fetch the original files, check them, show rows as the model sees them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import GPT2Config

from lorafit.data.download import base_url, blob_sha1, download
from lorafit.data.originals import OriginalFile, PaperFiles, Split, data_root
from lorafit.errors import NotFoundError, lookup
from lorafit.models import FAMILIES, family_of, load_config, load_tokenizer
from lorafit.objectives import BaseFacts, Settings, objective_for
from lorafit.recipe import ModelSection
from lorafit.run.events import Downloading, Report
from lorafit.run.recipes import open_recipe
from lorafit.tasks import PRESETS, load_rows


@dataclass(frozen=True)
class FetchedFile:
    """A file of the original data, in place; `fresh` if it was downloaded just now."""

    path: Path
    num_bytes: int
    fresh: bool


def fetch(names: Sequence[str], folder: Path | None, report: Report) -> list[FetchedFile]:
    """Download the original files of data sets (all of them without names) into `folder`, or to where recipes look.

    Raises RecipeError for an unknown name, NotFoundError when the network or the server fails or a hash is wrong.
    """
    root = folder if folder is not None else data_root()
    originals = original_files()
    wanted = [lookup(originals, name, "data set") for name in names or originals]
    return [_fetch(data_set, file, root, report) for data_set in wanted for file in data_set.files]


def original_files() -> dict[str, PaperFiles]:
    """The original files of every preset that has such, by its name."""
    return {name: preset.original for name, preset in PRESETS.items() if preset.original is not None}


def _fetch(data_set: PaperFiles, file: OriginalFile, root: Path, report: Report) -> FetchedFile:
    name = f"{data_set.folder}/{file.name}"
    target = root / data_set.folder / file.name

    def told(done: int, total: int | None) -> None:
        report(Downloading(name, done, total))

    fresh = download(f"{base_url()}/{name}", target, file.blob_sha1, told)
    return FetchedFile(target, target.stat().st_size, fresh)


@dataclass(frozen=True)
class VerifiedFile:
    """What a folder holds of an original file; `path` is where it is, or where it would be."""

    data_set: str
    split: Split
    path: Path
    status: Literal["original", "missing"]


def verify(folder: Path | None) -> list[VerifiedFile]:
    """Compare what a folder holds with the original files: those of one data set, or the tree that `fetch` makes.

    Raises NotFoundError that names every file with another content, or when there is none to compare.
    """
    root = folder if folder is not None else data_root()
    if not root.is_dir():
        raise NotFoundError(f"{root}: no such folder")
    files: list[VerifiedFile] = []
    wrong: list[str] = []
    for data_set in original_files().values():
        for file in data_set.files:
            path = next((p for p in _original_places(data_set, file, root) if p.is_file()), None)
            found = blob_sha1(path) if path else None
            if found not in (None, file.blob_sha1):
                wrong.append(
                    f"{path}: not the original file (git blob SHA-1 {found}, not {file.blob_sha1}); "
                    f"delete it and run `lorafit data fetch {data_set.name}`"
                )
            place = path or root / data_set.folder / file.name
            files.append(VerifiedFile(data_set.name, file.split, place, "original" if path else "missing"))
    if wrong:
        raise NotFoundError("\n".join(wrong))
    if all(file.status == "missing" for file in files):
        raise NotFoundError(f"{root}: holds none of the original files of {', '.join(original_files())}")
    return files


def _original_places(data_set: PaperFiles, file: OriginalFile, root: Path) -> list[Path]:
    return [folder / file.name for folder in (root, root / data_set.folder, root / data_set.name)]


@dataclass(frozen=True)
class Lengths:
    """How many tokens something has, over a split."""

    what: str
    mean: float
    median: float
    longest: int


@dataclass(frozen=True)
class ShowResult:
    """The first rows of a split as the model sees them, as JSON, and lengths over all of it."""

    split: str
    num_rows: int
    num_items: int  # what gets one prediction each: rows, or different contexts
    num_cut: int  # rows longer than max_length
    num_without_target: int
    max_length: int
    rows: list[Mapping[str, Any]]
    lengths: list[Lengths]


def show(name_or_path: str, overrides: list[str], split: Split, count: int) -> ShowResult:
    """The first `count` rows of a recipe's split. Needs the tokenizer and the data, not the weights.

    Raises NotFoundError for data or a tokenizer that is not there.
    """
    recipe = open_recipe(name_or_path, overrides)
    loaded = load_rows(recipe.task, recipe.data)
    facts = _facts(recipe.model)
    objective = objective_for(loaded.task, facts, Settings(recipe.data, recipe.decode, recipe.eval))
    rows = loaded.rows(split)
    encoder = objective.encoder(load_tokenizer(recipe.model.base, recipe.model.revision))
    encoded = encoder.encode(rows)
    parts = [encoder.part_lengths(example) for example in encoded.examples]
    of_parts = [_lengths(name, [each[name] for each in parts]) for name in parts[0]]
    whole = [_lengths("together", encoded.lengths)] if len(of_parts) > 1 else []
    return ShowResult(
        split=split,
        num_rows=len(rows),
        num_items=objective.num_items(rows),
        num_cut=len(encoded.cut),
        num_without_target=len(encoded.without_target),
        max_length=encoder.max_length,
        rows=[
            encoder.show(row, example) for row, example in zip(rows[:count], encoded.examples, strict=False)
        ],
        lengths=[*of_parts, *whole],
    )


def _lengths(what: str, counts: Sequence[int]) -> Lengths:
    return Lengths(what, statistics.fmean(counts), statistics.median(counts), max(counts))


def _facts(model: ModelSection) -> BaseFacts:
    """Those of the base; where there is a tokenizer alone, those of a GPT-2 with positions for everything."""
    try:
        config = load_config(model.base, model.revision, local_only=True)
    except NotFoundError:
        return BaseFacts(GPT2Config(n_positions=2**31), FAMILIES["gpt2"])
    return BaseFacts(config, family_of(config))
