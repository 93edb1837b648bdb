"""Adapter folder + the user's own contexts -> texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lorafit.adapters import BaseChoice, read_adapter, restore, task_of
from lorafit.decoding import BeamSearch, Greedy, Sample, Strategy
from lorafit.errors import lookup
from lorafit.objectives import TextOptions
from lorafit.objectives.restored import objective_of
from lorafit.recipe import EvalSection
from lorafit.run.placement import Placement, clear_out_of_memory
from lorafit.training import ProcessGroup


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen: `strategy` is one of STRATEGIES; temperature, top_p and seed are those of "sample"."""

    strategy: str = "beam"
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int | None = None
    seed: int = 0

    def of(self, beam: BeamSearch) -> Strategy:
        """The decoding strategy, where `beam` is the adapter's own. Raises RecipeError for an unknown one."""
        make = lookup(STRATEGIES, self.strategy, "strategy")
        return make(self, replace(beam, max_new_tokens=self.max_new_tokens or beam.max_new_tokens))


def _greedy(_: Sampling, beam: BeamSearch) -> Strategy:
    return Greedy(max_new_tokens=beam.max_new_tokens, eos_token_ids=beam.eos_token_ids)


def _sample(sampling: Sampling, beam: BeamSearch) -> Strategy:
    return Sample(
        max_new_tokens=beam.max_new_tokens,
        eos_token_ids=beam.eos_token_ids,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
    )


STRATEGIES: dict[str, Callable[[Sampling, BeamSearch], Strategy]] = {
    "beam": lambda _, beam: beam,
    "greedy": _greedy,
    "sample": _sample,
}


def predict(
    folder: Path,
    base: BaseChoice,
    contexts: Sequence[str],
    sampling: Sampling,
    batch_size: int,
    group: ProcessGroup,
) -> Iterator[tuple[int, str]]:
    """(index, text) for every context, as soon as its batch is done. Raises InterruptedRunError when asked to stop."""
    adapter = read_adapter(folder)
    objective = objective_of(adapter, task_of(adapter), base.base, adapter.card.data, EvalSection())
    with clear_out_of_memory(folder):
        model = restore(adapter, base=base.base, force=base.force)
        Placement.of("float32").place(model)
        objective.prepare(model)
        yield from objective.texts(
            model, contexts, TextOptions(sampling.of, batch_size), group.should_stop_within_item
        )
