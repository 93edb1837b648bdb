"""Adapter folders + the user's own inputs -> answers: texts, labels or scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafit.adapters import BaseChoice
from lorafit.adapters.folder import TENSOR_FILE
from lorafit.data import Row
from lorafit.data.places import new_rows
from lorafit.data.writers import json_line, write_rows
from lorafit.decoding import AS_TRAINED, Sampling
from lorafit.errors import (
    RUN_AGAIN,
    Advice,
    ChangeArgument,
    DataError,
    DropArgument,
    InterruptedRunError,
    RecipeError,
)
from lorafit.files import JsonObject, write_bytes
from lorafit.models.placement import clear_out_of_memory
from lorafit.objectives import Answered, AnswerOptions, AnyObjective
from lorafit.objectives.encoded import Noun
from lorafit.objectives.restored import RestoredAdapter
from lorafit.recipe import EvalSection
from lorafit.recipe.bounds import BATCH
from lorafit.run.events import Note, Progress, Report
from lorafit.run.files.partial import PartialFile
from lorafit.tasks import Task, input_rows
from lorafit.training import ProcessGroup

_WINDOW = 16  # so many batches of rows are sorted by length, and their answers written together

Input = str | Mapping[str, object]
"""A text, or the fields of a row by the task's columns."""


@dataclass(frozen=True)
class PredictOptions:
    """How rows are answered, and who hears of it. `batch_size` changes no answer."""

    report: Report
    group: ProcessGroup
    sampling: Sampling = AS_TRAINED
    batch_size: int = 16

    def __post_init__(self) -> None:
        """Raises RecipeError for a batch size that cannot be meant."""
        if not 1 <= self.batch_size <= BATCH.limit:
            fault = f"batch_size: must be from 1 to {BATCH.limit:,} ({BATCH.why}); got {self.batch_size}"
            raise RecipeError(fault, ChangeArgument("batch_size"))


@dataclass(frozen=True)
class PredictResult:
    """The file that was written, its rows, and how many of these an earlier attempt had done."""

    output: Path
    num_rows: int
    num_before: int


def predict(
    folder: Path, base: BaseChoice, inputs: Sequence[Input], options: PredictOptions
) -> Iterator[tuple[int, Answered]]:
    """(index, answer) for every input, as soon as its batch is done; see `predict_restored`."""
    restored = RestoredAdapter.of(folder, base)
    report_notes(restored, options.report)
    return predict_restored(restored, inputs, options)


def report_notes(restored: RestoredAdapter, report: Report) -> None:
    """What is to be said of an adapter and its base, whatever will be predicted."""
    for note in restored.objective(EvalSection()).notes(restored.model.require_tokenizer()):
        report(Note(note))


def predict_restored(
    restored: RestoredAdapter, inputs: Sequence[Input], options: PredictOptions
) -> Iterator[tuple[int, Answered]]:
    """(index, answer) for every input, as soon as its batch is done: a text, one or several classes, or a score.

    Inputs that are cut are reported. Raises DataError for an input that the task cannot read or that has a token the
    base does not know, RecipeError for sampling where no text is written, InterruptedRunError when asked to stop.
    """
    rows = _rows(restored.task, inputs)
    if not rows:
        return
    answering = Answering({"": restored}, rows, options)
    answering.check(("input", "inputs"))
    yield from answering.of_window("", range(len(rows)))


@dataclass(frozen=True)
class Answering:
    """What adapters of one base, by name, answer to rows."""

    adapters: Mapping[str, RestoredAdapter]
    rows: Sequence[Row]
    options: PredictOptions

    def __post_init__(self) -> None:
        """Raises RecipeError for ways to decode where no text is written."""
        chosen = self.options.sampling.given()
        for restored in self.adapters.values():
            if chosen and restored.task.output != "text":
                fault = f"an adapter for {restored.task.name} gives labels, and only texts are sampled"
                raise RecipeError(fault, *map(DropArgument, chosen))

    def check(self, noun: Noun) -> None:
        """Report what of the rows is cut. Raises DataError for a row with a token that the base does not know."""
        for restored in self.adapters.values():
            tokenizer = restored.model.require_tokenizer()
            encoded = self._objective(restored).encode_inputs(tokenizer, self.rows, self._answer_options(0))
            for note in encoded.checked_notes(noun):
                self.options.report(Note(note))

    def in_order(self, first: int) -> Iterator[JsonObject]:
        """What is added to each row from `first` on, in order. Which rows are computed together never depends on
        `first`, so that the numbers do not either."""
        count, size = len(self.rows), _WINDOW * self.options.batch_size
        total, done = count * len(self.adapters), first * len(self.adapters)
        for start in range(first - first % size, count, size):
            window = range(start, min(start + size, count))
            found: list[JsonObject] = [{} for _ in window]
            for name in self.adapters:
                for index, answered in self.of_window(name, window):
                    found[index - start] |= answered.to_json(name)
                    if index >= first:
                        done += 1
                        self.options.report(Progress("predicting", done, total))
            yield from found[max(first - start, 0) :]

    def of_window(self, name: str, window: range) -> Iterator[tuple[int, Answered]]:
        """(number of the row, answer), as batches are done."""
        restored, rows = self.adapters[name], self.rows[window.start : window.stop]
        objective = self._objective(restored)
        with clear_out_of_memory(restored.adapter.folder):
            objective.prepare(restored.model)
            options, group = self._answer_options(window.start), self.options.group
            for index, answered in objective.answers(restored.model, rows, options, group):
                yield window[index], answered

    def _objective(self, restored: RestoredAdapter) -> AnyObjective:
        section = self.options.sampling.section(restored.adapter.card.decode)
        return restored.objective(EvalSection(), decode=section)

    def _answer_options(self, first: int) -> AnswerOptions:
        return AnswerOptions(self.options.sampling, self.options.batch_size, first)


@dataclass(frozen=True)
class RowPredictions:
    """The rows of a file, and what adapters of one base answer to them. `identity` is a hash of the rows."""

    answering: Answering
    fields: Sequence[JsonObject]
    identity: str

    @staticmethod
    def of(adapters: Mapping[str, RestoredAdapter], rows: Path, options: PredictOptions) -> RowPredictions:
        """Of a file in any format that is read; "-" is standard input, as JSON lines. No answer need stand in the rows.

        Raises NotFoundError for a file that is not there, DataError for rows that are malformed or have a column of
        the name that the answers get.
        """
        first = next(iter(adapters.values()))
        data = first.adapter.card.data
        source = new_rows(rows, data)
        found = input_rows(first.task, data, source)
        added = [key for name in adapters for key in Answered("", {"": 0}).to_json(name)]
        for fields, _ in found:
            if taken := [key for key in added if key in fields]:
                raise DataError(
                    f"{rows}: has a column {taken[0]!r}, and so are the answers called",
                    Advice("give the column another name"),
                )
        answering = Answering(adapters, [row for _, row in found], options)
        return RowPredictions(answering, [fields for fields, _ in found], source.identity())

    def lines(self) -> Iterator[str]:
        """Every row with what is answered, in order, as a line of JSON."""
        for number, fields in enumerate(self.fields, 1):
            json_line(number, fields)  # what cannot be written is said before anything is computed
        self._begin()
        answers = self.answering.in_order(0)
        for number, (fields, answer) in enumerate(zip(self.fields, answers, strict=True), 1):
            yield json_line(number, fields | answer)

    def write(self, output: Path) -> PredictResult:
        """All rows with their answers as a file, in the format of its suffix. Until it is done, a file
        `<output>.partial` beside it holds the answers; the same call goes on behind them.

        Raises RecipeError where `output` is there already or has no known suffix, or where the partial file is of other
        adapters, rows or settings; DataError where the format cannot hold a row; LorafitError while another process
        writes it; InterruptedRunError when asked to stop.
        """
        partial = PartialFile(output, self._job())
        with partial.locked():
            return self._write(output, partial)

    def _write(self, output: Path, partial: PartialFile) -> PredictResult:
        if output.exists() and not partial.path.exists():
            raise RecipeError(f"{output}: already exists", ChangeArgument("output"))
        write_rows(output, self.fields)  # what cannot be written is said before anything is computed
        done = partial.read()
        num_before = len(done)
        if num_before < len(self.fields):
            self._begin()
            self._go_on(partial, done)
        rows = [fields | answer for fields, answer in zip(self.fields, done, strict=True)]
        write_bytes(output, write_rows(output, rows))
        partial.drop()
        return PredictResult(output, len(rows), num_before)

    def _go_on(self, partial: PartialFile, done: list[JsonObject]) -> None:
        answers = self.answering.in_order(len(done))
        try:
            for answer in answers:
                partial.add(answer)
                done.append(answer)
        except InterruptedRunError as error:
            said = f"{len(done):,} of {len(self.fields):,} rows are done"
            reason = self.answering.options.group.stop() or error.message
            raise InterruptedRunError(f"{partial.path}: {said} ({reason})", RUN_AGAIN) from None

    def _begin(self) -> None:
        for restored in self.answering.adapters.values():
            report_notes(restored, self.answering.options.report)
        self.answering.check(("row", "rows"))

    def _job(self) -> dict[str, str]:
        """What decides the answers."""
        options, adapters = self.answering.options, self.answering.adapters
        cards = {
            name: [each.adapter.card.files[TENSOR_FILE].sha256, each.adapter.card.seal, each.where]
            for name, each in adapters.items()
        }
        settings = [options.sampling.given(), options.batch_size]
        return {"adapters": _hash(cards), "rows": self.identity, "settings": _hash(settings)}


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


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
