"""Recipe -> rows of a split as the model sees them, and how long they are."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorafit.data import Split
from lorafit.data.hub import fetched, pinned
from lorafit.models import load_tokenizer
from lorafit.objectives import Settings, facts_at_hand, objective_for
from lorafit.objectives.examples import example_noun, noun_of, usable_rows
from lorafit.run.arrivals import arrivals
from lorafit.run.events import Report
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
    notes: list[str]  # which rows of the files are left out, what is cut, and what the base does not know
    rows: list[Mapping[str, Any]]
    lengths: list[Lengths]


def show(name_or_path: str, overrides: list[str], split: Split, count: int, report: Report) -> ShowResult:
    """The first `count` rows of a recipe's split. Needs the tokenizer and the data, not the weights.

    Raises NotFoundError for missing data or a missing tokenizer, DataError for malformed rows.
    """
    recipe = open_recipe(name_or_path, overrides)
    with arrivals(str(recipe.data.hub), report) as tell:
        data = pinned(recipe.data) or fetched(recipe.data, tell)
    loaded = load_rows(recipe.task, data)
    facts = facts_at_hand(loaded.task, recipe.model.base, recipe.model.revision)
    objective = objective_for(loaded.task, facts, Settings(recipe.data, recipe.decode, recipe.eval))
    tokenizer = load_tokenizer(recipe.model.base, recipe.model.revision)
    rows, left_out = usable_rows(objective, tokenizer, loaded.rows(split), split)
    encoder = objective.encoder(tokenizer)
    encoded = encoder.encode(rows)
    noun = example_noun(objective, split)
    cuts = encoded.note(noun) or f"no {noun[0]} has more than {encoded.limit}"
    inputs = objective.encode_inputs(tokenizer, rows)
    on_inputs = [*inputs.notes, inputs.note(noun_of(split, objective.input_noun))]
    of_rows = [*loaded.notes, *left_out, *objective.notes(tokenizer), *encoded.notes]
    notes = [*of_rows, cuts, *on_inputs, *encoded.fault_lines(noun)]
    parts = [encoder.part_lengths(example) for example in encoded.examples]
    of_parts = [_lengths(name, [each[name] for each in parts]) for name in parts[0]]
    whole = [_lengths("together", encoded.lengths)] if len(of_parts) > 1 else []
    return ShowResult(
        split=split,
        num_rows=len(rows),
        num_items=objective.num_items(rows),
        notes=list(dict.fromkeys(note for note in notes if note is not None)),
        rows=[
            encoder.show(row, example)
            for row in rows[:count]
            for example in itertools.islice(encoder.encode([row]).examples, count)
        ],
        lengths=[*of_parts, *whole],
    )


def _lengths(what: str, counts: Sequence[int]) -> Lengths:
    return Lengths(what, statistics.fmean(counts), statistics.median(counts), max(counts))
