"""Adapter folder + contexts of one's own -> texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lorafit.adapters import BaseChoice, read_adapter, restore, task_of
from lorafit.decoding import BeamSearch, Greedy, Sample, Strategy
from lorafit.errors import RecipeError, did_you_mean
from lorafit.objectives import TextOptions
from lorafit.objectives.restored import objective_of
from lorafit.recipe import EvalSection
from lorafit.run.placement import Placement
from lorafit.training import ProcessGroup

STRATEGIES = ("beam", "greedy", "sample")


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen: "beam" as the adapter was trained, "greedy" or "sample"."""

    strategy: str = "beam"
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int | None = None
    seed: int = 0

    def of(self, beam: BeamSearch) -> Strategy:
        """The decoding strategy. Raises RecipeError for an unknown one."""
        num_tokens = self.max_new_tokens or beam.max_new_tokens
        match self.strategy:
            case "beam":
                return replace(beam, max_new_tokens=num_tokens)
            case "greedy":
                return Greedy(max_new_tokens=num_tokens, eos_token_ids=beam.eos_token_ids)
            case "sample":
                return Sample(
                    max_new_tokens=num_tokens,
                    eos_token_ids=beam.eos_token_ids,
                    temperature=self.temperature,
                    top_p=self.top_p,
                    seed=self.seed,
                )
        hint = did_you_mean(self.strategy, STRATEGIES)
        raise RecipeError(f"strategy {self.strategy}: unknown; one of {', '.join(STRATEGIES)}{hint}")


def predict(
    folder: Path,
    base: BaseChoice,
    contexts: Sequence[str],
    sampling: Sampling,
    batch_size: int,
    group: ProcessGroup,
) -> Iterator[tuple[int, str]]:
    """(index, text) for every context, as batches are done. Raises InterruptedRunError when asked to stop."""
    adapter = read_adapter(folder)
    objective = objective_of(adapter, task_of(adapter), base.base, adapter.card.data, EvalSection())
    model = restore(adapter, base=base.base, force=base.force)
    Placement.of("float32").place(model)
    objective.prepare(model)
    yield from objective.texts(
        model, contexts, TextOptions(sampling.of, batch_size), group.should_stop_within_item
    )
