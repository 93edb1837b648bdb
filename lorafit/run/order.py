"""The order of a run's training rows: planned before anything is loaded, then made of the examples themselves."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

from lorafit.data.order import Mix, Order
from lorafit.errors import NotFoundError
from lorafit.models import base_folder, load_tokenizer
from lorafit.objectives import AnyObjective, Encoder
from lorafit.run.recipes import Recipe
from lorafit.tasks import PRESETS, Rows

_TOKENS_PER_WORD = 1.4  # of English in the usual vocabularies


def plan_order(recipe: Recipe, rows: Rows, objective: AnyObjective) -> tuple[Order, bool]:
    """The order as far as it is known without the base, and whether the numbers of steps are exact.

    They are unless they depend on lengths in tokens, and rows or tokenizer are not here: then these are estimated.
    """
    if rows.num_train_rows() is None:
        size = PRESETS[recipe.task.name].size
        return _uniform(recipe, size.num_train_rows, size.example_length), recipe.train.batch_size is not None
    if recipe.train.batch_size is not None:
        return Order(recipe.train, _mix(recipe, rows.sizes("train"))), True
    found = rows.rows("train")
    try:
        folder = base_folder(recipe.model.base, recipe.model.revision)
        encoder = objective.encoder(load_tokenizer(str(folder)))
    except NotFoundError:
        lengths = [min(_estimate(row), recipe.data.max_length) for row in found]
        return Order(recipe.train, _mix(recipe, rows.sizes("train")), lengths), False
    return make_order(recipe, rows, objective, encoder, encoder.encode(found).examples), True


def make_order(
    recipe: Recipe, rows: Rows, objective: AnyObjective, encoder: Encoder[Any, Any], examples: Sequence[Any]
) -> Order:
    """The order of the examples of all training rows."""
    sizes = rows.sizes("train")
    if len(examples) != sum(sizes):  # a row may be several examples
        found, ends = rows.rows("train"), itertools.accumulate(sizes)
        files = [found[end - size : end] for size, end in zip(sizes, ends, strict=True)]
        sizes = [len(encoder.encode(each).examples) for each in files] if len(files) > 1 else [len(examples)]
    lengths: Iterable[int] = ()
    if recipe.train.batch_size is None:
        lengths = (len(objective.inputs(example)) for example in examples)
    elif Order.needs_lengths(recipe.train):
        lengths = (objective.length(example) for example in examples)
    return Order(recipe.train, _mix(recipe, sizes), list(lengths))


def _mix(recipe: Recipe, sizes: Sequence[int]) -> Mix:
    return Mix(tuple(sizes), recipe.data.weights or ())


def _uniform(recipe: Recipe, num_rows: int, length: int) -> Order:
    """Of the original data, which are not here: rows of one length, all in one file."""
    lengths = [min(length, recipe.data.max_length)] * num_rows if recipe.train.batch_size is None else ()
    return Order(recipe.train, Mix((num_rows,)), lengths)


def _estimate(row: Any) -> int:
    """Tokens of all texts of a row, by its words."""
    words = json.dumps(list(row.to_json().values()), ensure_ascii=False).split()
    return max(round(_TOKENS_PER_WORD * len(words)), 1)
