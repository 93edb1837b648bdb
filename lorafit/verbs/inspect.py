"""Recipe -> rows of a split as the model sees them, and how long they are."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import GPT2Config

from lorafit.data import Split
from lorafit.errors import NotFoundError
from lorafit.models import FAMILIES, family_of, load_config, load_tokenizer
from lorafit.objectives import BaseFacts, Settings, objective_for
from lorafit.recipe import ModelSection
from lorafit.run.recipes import open_recipe
from lorafit.tasks import load_rows


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
    num_items: int  # that get a prediction each: rows, or different prompts
    num_cut: int  # rows longer than max_length
    num_without_target: int
    max_length: int
    rows: list[Mapping[str, Any]]
    lengths: list[Lengths]
    notes: list[str]


def show(name_or_path: str, overrides: list[str], split: Split, count: int) -> ShowResult:
    """The first `count` rows of a recipe's split. Needs the tokenizer and the data, not the weights.

    Raises NotFoundError for missing data or a missing tokenizer, DataError for malformed rows.
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
            encoder.show(row, example)
            for row in rows[:count]
            for example in itertools.islice(encoder.encode([row]).examples, count)
        ],
        notes=list(encoded.notes),
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
