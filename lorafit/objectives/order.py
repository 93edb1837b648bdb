"""The order of a run's training rows: planned before anything is loaded, then made of the examples themselves."""

from __future__ import annotations

import itertools
import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lorafit.data.order import Mix, Order
from lorafit.data.rows import Row
from lorafit.errors import NotFoundError
from lorafit.models import base_folder, load_tokenizer
from lorafit.objectives.base import AnyObjective
from lorafit.objectives.encoded import Encoded
from lorafit.recipe import DataSection, ModelSection, TrainSection
from lorafit.tasks import PRESETS, Rows

_TOKENS_PER_WORD = 1.4  # of English in the usual vocabularies


@dataclass(frozen=True)
class Ordering:
    """What the order is made by: two sections of the recipe, the rows, and what examples are made of them."""

    train: TrainSection
    data: DataSection
    rows: Rows
    objective: AnyObjective

    def planned(self, model: ModelSection) -> tuple[Order, bool]:
        """The order as far as it is known without the base, and whether the numbers of steps are exact.

        They are unless they depend on lengths in tokens, and rows or tokenizer are not here: then these are estimated.
        """
        by_tokens = self.train.batch_size is None
        if self.rows.num_train_rows() is None:
            size = PRESETS[self.rows.task.name].size
            length = min(size.example_length, self.data.max_length)
            mix = Mix((size.num_train_rows,))
            return Order(self.train, mix, [length] * size.num_train_rows if by_tokens else ()), not by_tokens
        if not by_tokens:
            return Order(self.train, self._mix(self.rows.sizes("train"))), True
        found = self.rows.rows("train")
        try:
            tokenizer = load_tokenizer(str(base_folder(model.base, model.revision)))
        except NotFoundError:
            lengths = [min(_estimate(row), self.data.max_length) for row in found]
            return Order(self.train, self._mix(self.rows.sizes("train")), lengths), False
        return self.of(self.objective.encoder(tokenizer).encode(found)), True

    def of(self, encoded: Encoded[Any]) -> Order:
        """The order of the examples of all training rows."""
        sizes = self.rows.sizes("train")
        if encoded.by_row:  # a row may be several examples
            by_row = iter(encoded.by_row)
            sizes = [sum(itertools.islice(by_row, size)) for size in sizes]
        lengths: Iterable[int] = ()
        if self.train.batch_size is None:
            lengths = map(self.objective.num_inputs, encoded.lengths)
        elif Order.needs_lengths(self.train):
            lengths = map(self.objective.bucket_length, encoded.lengths)
        return Order(self.train, self._mix(sizes), array("q", lengths))

    def _mix(self, sizes: Sequence[int]) -> Mix:
        return Mix(tuple(sizes), self.data.weights or ())


def _estimate(row: Row) -> int:
    """Tokens of all texts of a row, by its words."""
    words = json.dumps(list(row.to_json().values()), ensure_ascii=False).split()
    return max(round(_TOKENS_PER_WORD * len(words)), 1)
