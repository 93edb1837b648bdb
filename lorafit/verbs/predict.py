"""Adapter folder + the user's own inputs -> answers: texts, labels or scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lorafit.adapters import BaseChoice
from lorafit.data import Row
from lorafit.decoding import BeamSearch, Greedy, Sample, Strategy
from lorafit.errors import DataError, lookup
from lorafit.models.placement import clear_out_of_memory
from lorafit.objectives import AnswerOptions
from lorafit.objectives.restored import RestoredAdapter
from lorafit.recipe import EvalSection
from lorafit.tasks import Answer, Task
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


Input = str | Mapping[str, object]
"""A text, or the fields of a row by the task's columns."""


def predict(
    folder: Path,
    base: BaseChoice,
    inputs: Sequence[Input],
    sampling: Sampling,
    batch_size: int,
    group: ProcessGroup,
) -> Iterator[tuple[int, Answer]]:
    """(index, answer) for every input, as soon as its batch is done; see `predict_restored`."""
    return predict_restored(RestoredAdapter.of(folder, base), inputs, sampling, batch_size, group)


def predict_restored(
    restored: RestoredAdapter,
    inputs: Sequence[Input],
    sampling: Sampling,
    batch_size: int,
    group: ProcessGroup,
) -> Iterator[tuple[int, Answer]]:
    """(index, answer) for every input, as soon as its batch is done: a text, one or several classes, or a score.

    Raises DataError for an input that the task cannot read, RecipeError for sampling where no text is written,
    InterruptedRunError when asked to stop.
    """
    rows = _rows(restored.task, inputs)
    if not rows:
        return
    objective = restored.objective(EvalSection())
    options = AnswerOptions(None if sampling == Sampling() else sampling.of, batch_size)
    with clear_out_of_memory(restored.adapter.folder):
        objective.prepare(restored.model)
        yield from objective.answers(restored.model, rows, options, group)


def _rows(task: Task, inputs: Sequence[Input]) -> list[Row]:
    rows, faults = [], []
    for index, given in enumerate(inputs):
        try:
            rows.append(task.parse_input(given))
        except ValueError as error:
            faults.append(DataError(f"inputs[{index}]: {error}"))
    if faults:
        raise DataError.joined(faults)
    return rows
