"""How texts are decoded when that is not as in training: another search, fewer beams, chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lorafit.decoding.beam import BeamSearch
from lorafit.decoding.chain import Greedy, Sample
from lorafit.decoding.loop import Strategy
from lorafit.errors import ChangeArgument, DropArgument, RecipeError, lookup
from lorafit.recipe import DecodeSection
from lorafit.recipe.bounds import BEAMS, NEW_TOKENS, SEED


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen; without any of it, as in training.

    `strategy` is one of STRATEGIES: without it "sample" where a temperature or `top_p` is given, else "beam".
    `temperature` (1 without it), `top_p` (1) and `seed` (0) belong to "sample", `num_beams` to "beam".
    """

    strategy: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_new_tokens: int | None = None
    seed: int | None = None
    num_beams: int | None = None

    def __post_init__(self) -> None:
        """Raises RecipeError for a number that cannot be meant, and for one that the strategy does not take."""
        way = lookup(STRATEGIES, self.name, "strategy")
        for name, value in self.given().items():
            if name in _MEANT and not _MEANT[name].holds(float(value)):
                raise RecipeError(f"{name}: must be {_MEANT[name].words}; got {value}", ChangeArgument(name))
            if name not in way.takes and any(name in other.takes for other in STRATEGIES.values()):
                raise RecipeError(f"{name}: {way.words} takes none; got {value}", DropArgument(name))

    @property
    def name(self) -> str:
        """The strategy that is meant."""
        drawn = self.temperature is not None or self.top_p is not None
        return self.strategy or ("sample" if drawn else "beam")

    def given(self) -> dict[str, str | float]:
        """What is not as in training, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def section(self, trained: DecodeSection) -> DecodeSection:
        """The settings of the search, where `trained` are the adapter's own."""
        kept = {name: value for name, value in self.given().items() if name in DecodeSection.model_fields}
        return trained.model_copy(update=kept)

    def of(self, beam: BeamSearch, first: int = 0) -> Strategy:
        """The strategy for examples counted from `first`, where `beam` is the search of `section`."""
        return STRATEGIES[self.name].make(self, beam, first)


@dataclass(frozen=True)
class _Range:
    holds: Callable[[float], bool]
    words: str


_MEANT: Mapping[str, _Range] = {
    "temperature": _Range(lambda x: 0 < x < math.inf, "a finite number greater than 0"),
    "top_p": _Range(lambda x: 0 < x <= 1, "greater than 0 and at most 1"),
    "seed": _Range(lambda x: 0 <= x <= SEED.limit, f"from 0 to {SEED.limit} ({SEED.why})"),
    "max_new_tokens": _Range(
        lambda x: 1 <= x <= NEW_TOKENS.limit, f"from 1 to {NEW_TOKENS.limit:,} ({NEW_TOKENS.why})"
    ),
    "num_beams": _Range(lambda x: 1 <= x <= BEAMS.limit, f"from 1 to {BEAMS.limit:,} ({BEAMS.why})"),
}


@dataclass(frozen=True)
class _Way:
    words: str
    takes: frozenset[str]
    make: Callable[[Sampling, BeamSearch, int], Strategy]


def _greedy(_sampling: Sampling, beam: BeamSearch, _first: int) -> Strategy:
    return Greedy(max_new_tokens=beam.max_new_tokens, eos_token_ids=beam.eos_token_ids)


def _sample(sampling: Sampling, beam: BeamSearch, first: int) -> Strategy:
    return Sample(
        max_new_tokens=beam.max_new_tokens,
        eos_token_ids=beam.eos_token_ids,
        temperature=1.0 if sampling.temperature is None else sampling.temperature,
        top_p=1.0 if sampling.top_p is None else sampling.top_p,
        seed=sampling.seed or 0,
        first=first,
    )


STRATEGIES: Mapping[str, _Way] = {
    "beam": _Way("beam search", frozenset({"num_beams"}), lambda _, beam, __: beam),
    "greedy": _Way("greedy decoding", frozenset(), _greedy),
    "sample": _Way("sampling", frozenset({"temperature", "top_p", "seed"}), _sample),
}

AS_TRAINED = Sampling()
