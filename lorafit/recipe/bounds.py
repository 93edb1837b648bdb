"""Numbers that can be meant: the greatest of each kind, and why there is nothing beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_SHOWN_DIGITS = 40

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class AtMost:
    """In `Annotated[int, AtMost(...)]`: a greater number is refused, and `why` is said. The schema has a `maximum`."""

    limit: int | float
    why: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "maximum": self.limit}

    def check(self, value: Number) -> Number:
        """The number itself. Raises ValueError for one that is too great."""
        if value > self.limit:
            raise ValueError(f"must be at most {self.limit:,} ({self.why}); got {str(value)[:_SHOWN_DIGITS]}")
        return value


MAX_STEPS = 10**9
STEPS = AtMost(MAX_STEPS, "at a thousand steps a second that is eleven days already")
BATCH = AtMost(10**6, "what is held in memory together is a part of the rows")
BATCH_TOKENS = AtMost(10**9, "no step reads as much")
SEED = AtMost(2**63 - 1, "random generators take 64 bits")
TOKENS = AtMost(10**7, "no base reads longer texts")
NEW_TOKENS = AtMost(10**6, "no base writes longer texts")
BEAMS = AtMost(10**4, "each beam costs as much as a text")
VOCABULARY = AtMost(2**31, "no vocabulary is as large")
LAYERS = AtMost(10**4, "no base has as many layers")
WIDTH = AtMost(2**16, "no base is as wide")

Steps = Annotated[PositiveInt, STEPS]
WarmupSteps = Annotated[NonNegativeInt, STEPS]
Epochs = Annotated[
    PositiveFloat, AtMost(1e6, "rows that were read a million times have nothing more to tell")
]
BatchSize = Annotated[PositiveInt, BATCH]
BatchTokens = Annotated[PositiveInt, BATCH_TOKENS]
Seed = Annotated[NonNegativeInt, SEED]
Length = Annotated[PositiveInt, TOKENS]
NewTokens = Annotated[PositiveInt, NEW_TOKENS]
Beams = Annotated[PositiveInt, BEAMS]
LengthPenalty = Annotated[
    float, Field(ge=-30.0), AtMost(30.0, "a length to a greater power is no number any more")
]
Layers = Annotated[PositiveInt, LAYERS]
Width = Annotated[PositiveInt, WIDTH]
Weight = Annotated[
    float,
    Field(gt=0.0),
    AtMost(1000.0, "rows that come a thousand times in an epoch leave none to the others"),
]
