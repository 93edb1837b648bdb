"""Texts with a score."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar, Self

from pydantic import AllowInfNan, field_validator
from typing_extensions import override

from lorafit.data.cells import number_of, shown
from lorafit.data.rows import RawRow
from lorafit.metrics import Kind
from lorafit.tasks.labels import LabelTask

_GREATEST = 3.4028235e38  # that float32 holds
_Bound = Annotated[float, AllowInfNan()]  # which the validator refuses in its own words


class Regression(LabelTask):
    """Give a text, or a pair of texts, a number."""

    kind: ClassVar[str] = "regression"
    output: ClassVar[Kind] = "score"

    range: tuple[_Bound, _Bound] | None = None
    """The least and the greatest number that a label may be. Without it: any."""

    @field_validator("range")
    @classmethod
    def _from_low_to_high(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not -math.inf < value[0] < value[1] < math.inf:
            raise ValueError(f"must be two numbers, the lower one first; got {list(value)!r}")
        return value

    @property
    def labels(self) -> None:
        """None: a score has no classes."""
        return

    @property
    @override
    def num_outputs(self) -> int:
        return 1

    @override
    def usual_metrics(self) -> tuple[str, ...]:
        return self.metrics or ("pearson", "spearman")

    @override
    def resolve(self, rows: Iterable[RawRow]) -> Self:
        """With its metrics."""
        return self.model_copy(update={"metrics": self.usual_metrics(), "headline": self.headline_score})

    @override
    def parse_label(self, value: object) -> float:
        low, high = self.range or (-_GREATEST, _GREATEST)
        score = number_of(value)
        if score is None or not low <= score <= high:
            bounds = f" from {low:g} to {high:g}" if self.range else ""
            raise ValueError(f"{self.label} {shown(value)} is not a number{bounds}")
        return float(score)

    @override
    def parse_answer(self, value: object) -> float:
        """Any number: a system may answer outside the range."""
        return self.model_copy(update={"range": None}).parse_label(value)
