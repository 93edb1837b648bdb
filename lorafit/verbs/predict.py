"""Adapter folder + the user's own inputs -> answers: texts, labels or scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lorafit.adapters import BaseChoice
from lorafit.data import Row
from lorafit.decoding import BeamSearch, Greedy, Sample, Strategy
from lorafit.errors import ChangeArgument, DataError, RecipeError, lookup
from lorafit.models.placement import clear_out_of_memory
from lorafit.objectives import AnswerOptions
from lorafit.objectives.restored import RestoredAdapter
from lorafit.recipe import EvalSection
from lorafit.recipe.bounds import BATCH, NEW_TOKENS, SEED
from lorafit.run.events import Note, Report
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

    def __post_init__(self) -> None:
        """Raises RecipeError for a number that cannot be meant."""
        self._check("temperature", 0 < self.temperature < math.inf, "must be a finite number greater than 0")
        self._check("top_p", 0 < self.top_p <= 1, "must be greater than 0 and at most 1")
        self._check("seed", 0 <= self.seed <= SEED.limit, f"must be from 0 to {SEED.limit} ({SEED.why})")
        words = f"must be from 1 to {NEW_TOKENS.limit:,} ({NEW_TOKENS.why})"
        self._check("max_new_tokens", 1 <= (self.max_new_tokens or 1) <= NEW_TOKENS.limit, words)

    def _check(self, name: str, is_meant: bool, words: str) -> None:
        if not is_meant:
            raise RecipeError(f"{name}: {words}; got {getattr(self, name)}", ChangeArgument(name))

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
    report: Report,
    group: ProcessGroup,
) -> Iterator[tuple[int, Answer]]:
    """(index, answer) for every input, as soon as its batch is done; see `predict_restored`."""
    restored = RestoredAdapter.of(folder, base)
    report_notes(restored, report)
    return predict_restored(restored, inputs, sampling, batch_size, report, group)


def report_notes(restored: RestoredAdapter, report: Report) -> None:
    """What is to be said of an adapter and its base, whatever will be predicted."""
    for note in restored.objective(EvalSection()).notes(restored.model.require_tokenizer()):
        report(Note(note))


def predict_restored(
    restored: RestoredAdapter,
    inputs: Sequence[Input],
    sampling: Sampling,
    batch_size: int,
    report: Report,
    group: ProcessGroup,
) -> Iterator[tuple[int, Answer]]:
    """(index, answer) for every input, as soon as its batch is done: a text, one or several classes, or a score.

    Inputs that are cut are reported. Raises DataError for an input that the task cannot read or that has a token the
    base does not know, RecipeError for sampling where no text is written, InterruptedRunError when asked to stop.
    """
    if not 1 <= batch_size <= BATCH.limit:
        fault = f"batch_size: must be from 1 to {BATCH.limit:,} ({BATCH.why}); got {batch_size}"
        raise RecipeError(fault, ChangeArgument("batch_size"))
    rows = _rows(restored.task, inputs)
    if not rows:
        return
    objective = restored.objective(EvalSection())
    strategy = None if sampling == Sampling() else sampling.of
    options = AnswerOptions(strategy, batch_size, sampling.max_new_tokens)
    encoded = objective.encode_inputs(restored.model.require_tokenizer(), rows, options)
    for note in encoded.checked_notes(("input", "inputs")):
        report(Note(note))
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
