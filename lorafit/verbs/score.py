"""Files of answers and of right answers -> scores, without a model.

A file of predictions that `train` or `eval` has written says all of it: answers, right answers, and the part of the
split of each. Its scores are those of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from pathlib import Path

from lorafit.data.answers import AnswerRows, Column, read_answer_rows
from lorafit.data.rows import RawRow
from lorafit.errors import Advice, DataError, DropArgument, RecipeError, SetArgument, lookup
from lorafit.metrics.files import read_predictions, read_references, read_splits
from lorafit.metrics.scorers import PROTOCOLS_BY_TASK, SCORERS, Scorer, find_scorer
from lorafit.metrics.scoring import Scores, text_metrics
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.tasks import SECTIONS, Chat, Generation, LabelTask, ReferenceGroup, Task, Text, make_task
from lorafit.tasks.scoring import score_groups, score_labels

_RIGHT_ANSWERS = ("references", "label")  # one of them stands beside "prediction" in a file of ours


@dataclass(frozen=True)
class ScoreOptions:
    """`protocol` None: the run's own scorer for a file that a run has written, else "official". Keys are those of
    structured files. Metrics: those of the run or the task without any."""

    split_file: Path | None = None
    protocol: str | None = None
    metrics: Sequence[str] | None = None
    prediction_key: str | None = None
    reference_key: str | None = None


@dataclass(frozen=True)
class ScoreResult:
    """The scores; `missing` are those that the caller named and that could not be computed."""

    scores: Scores
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Files:
    """What is scored. `rows` are those of `predictions` where it is structured; `run` is the recipe of the run of this
    task that has written it."""

    name: str
    predictions: Path
    references: Sequence[Path]
    options: ScoreOptions
    rows: AnswerRows | None
    run: Recipe | None

    @property
    def are_ours(self) -> bool:
        """Whether `predictions` is a file that `train` or `eval` has written."""
        return self.rows is not None and _is_ours(self.rows)

    @property
    def metrics(self) -> Sequence[str] | None:
        """Those asked for, or those of the run."""
        asked = self.options.metrics
        return self.run.eval.metrics if asked is None and self.run is not None else asked

    def answers(self) -> Column:
        """A column of `predictions`."""
        key = self.options.prediction_key
        if self.rows is not None:
            return self.rows.column(key or _own_key(self.rows, ("prediction",), "prediction_key"))
        if key is not None:
            fault = f"{self.predictions}: holds lines of text, which have no keys"
            raise RecipeError(fault, DropArgument("prediction_key"))
        return _lines(self.predictions)

    def right_answers(self) -> Column | None:
        """A column of `predictions`, or of another structured file; None where files of text hold them."""
        key = self.options.reference_key
        if not self.references:
            if self.rows is None:
                raise RecipeError(f"{self.predictions}: holds lines of text, and no right answers are given")
            return self.rows.column(key or _own_key(self.rows, _RIGHT_ANSWERS, "reference_key"))
        tables = [rows for path in self.references if (rows := read_answer_rows(path)) is not None]
        if tables and len(self.references) > 1:
            raise RecipeError(f"{tables[0].where}: holds rows, so it must be the only file of right answers")
        if tables:
            return tables[0].column(key or _own_key(tables[0], _RIGHT_ANSWERS, "reference_key"))
        if key is not None:
            fault = f"{self.references[0]}: holds lines of text, which have no keys"
            raise RecipeError(fault, DropArgument("reference_key"))
        return None

    def parts(self, count: int) -> list[str]:
        """The part of the split of each answer; "" where there are none."""
        if self.options.split_file is not None:
            return read_splits(self.options.split_file, count)
        if self.rows is None or not self.are_ours:
            return [""] * count
        return [str(row.fields.get("part", "")) for row in self.rows.rows]


def score(name: str, predictions: Path, references: Sequence[Path], options: ScoreOptions) -> ScoreResult:
    """Score a system's answers as a task does; texts of the paper's tasks as the challenge (`protocol` "official") or
    the LoRA paper ("paper") does.

    Raises RecipeError for an unknown task, protocol, metric or for a structured file of which no key is named,
    NotFoundError for a missing file, DataError for files that are malformed or do not fit each other.
    """
    lookup(SECTIONS, name, "task")
    task = make_task(name)
    task.find_metrics(options.metrics)  # an unknown name is an error before any file is read
    if options.protocol is not None:
        find_scorer(name, options.protocol)
    rows = read_answer_rows(predictions)
    run = _run_of(predictions) if rows is not None and _is_ours(rows) else None
    other = run.task.name if run is not None and run.task.name != name else None
    files = _Files(name, predictions, references, options, rows, None if other else run)
    scores = _score(task if files.run is None else files.run.task, files)
    if other:
        scores = replace(scores, notes=(*scores.notes, f"scored as {name}, and its run is of {other}"))
    return ScoreResult(scores, tuple(scores.reasons) if options.metrics is not None else ())


@singledispatch
def _score(task: Task, files: _Files) -> Scores:
    raise TypeError(f"{task!r} has no way to score {files!r}")


@_score.register
def _(task: Generation, files: _Files) -> Scores:
    scorer = _scorer(task, files)
    names = files.metrics
    if names is None and scorer.name == task.scorer and files.options.protocol is None:
        names = task.metrics
    return _score_texts(scorer, names, files)


@_score.register
def _(task: Chat, files: _Files) -> Scores:
    """The last turns, as texts."""
    names = task.metrics if files.metrics is None else files.metrics
    likely = [metric.name for metric in task.find_metrics(names) if metric.reads == "evidence"]
    texts = None if names is None else [name for name in names if name not in likely]
    if texts == []:
        raise _without_model(files, likely[0])
    scores = _score_texts(SCORERS["plain"], texts, files)
    notes = [f"{name} is not computed: it needs the model" for name in likely]
    return replace(scores, notes=(*scores.notes, *notes))


@_score.register
def _(task: Text, files: _Files) -> Scores:
    raise _without_model(files, task.find_metrics(files.metrics)[0].name)


def _without_model(files: _Files, metric: str) -> RecipeError:
    return RecipeError(
        f"{files.name}: {metric} says how likely the model finds a text, which is not seen in answers",
        Advice("score the adapter itself (eval)"),
    )


def _score_texts(scorer: Scorer, names: Sequence[str] | None, files: _Files) -> Scores:
    text_metrics(scorer, names)
    texts = files.answers().parsed(_text)
    right = files.right_answers()
    groups = (
        read_references(files.references, len(texts))
        if right is None
        else _as_many(right, texts).parsed(_texts)
    )
    return score_groups(
        scorer,
        texts,
        [
            ReferenceGroup("", tuple(group), part)
            for group, part in zip(groups, files.parts(len(texts)), strict=True)
        ],
        names,
    )


@_score.register
def _(task: LabelTask, files: _Files) -> Scores:
    if len(files.references) > 1:
        raise RecipeError(f"{files.references[1]}: an answer has one label, so one file of labels is enough")
    answers = files.answers()
    right = _as_many(files.right_answers() or _lines(files.references[0]), answers.values)
    known = [value for value in (*right.values, *answers.values) if value not in (None, "")]
    texts = dict.fromkeys(task.texts, "a text")  # scores do not depend on it
    rows = (RawRow(i, {**texts, task.label: value}) for i, value in enumerate(known, start=1))
    try:
        task = task.resolve(rows)
    except DataError as error:
        raise DataError(
            f"{right.where}: with the answers, {error.what.replace('training row', 'row')}"
        ) from None
    scores = score_labels(
        task,
        answers.parsed(task.parse_answer),
        right.parsed(lambda value: None if value in (None, "") else task.parse_label(value)),
        files.parts(len(answers.values)),
        files.metrics,
    )
    if not scores.all:
        raise DataError(f"{right.where}: has no labels, so nothing can be scored")
    return scores


def _scorer(task: Generation, files: _Files) -> Scorer:
    protocol = files.options.protocol
    if protocol is None and (files.are_ours or files.name not in PROTOCOLS_BY_TASK):
        return SCORERS[task.scorer]
    return find_scorer(files.name, protocol or "official")


def _is_ours(rows: AnswerRows) -> bool:
    return "prediction" in rows.keys and any(key in rows.keys for key in _RIGHT_ANSWERS)


def _own_key(rows: AnswerRows, names: Sequence[str], argument: str) -> str:
    """The key that a file of ours has for it. Raises RecipeError for any other file."""
    if _is_ours(rows):
        return next(name for name in names if name in rows.keys)
    raise RecipeError(
        f"{rows.where}: holds rows with the keys {', '.join(rows.keys)}, and not lines of text",
        SetArgument(argument),
    )


def _run_of(predictions: Path) -> Recipe | None:
    """The recipe of the run folder that the file lies in: in `predictions`, or in `eval/<split>`."""
    folders = predictions.resolve().parents[:3]
    recipe = next((f / "recipe.toml" for f in folders if (f / "recipe.toml").is_file()), None)
    return None if recipe is None else open_recipe(recipe)


def _lines(path: Path) -> Column:
    lines = read_predictions(path)
    return Column(str(path), "", range(1, len(lines) + 1), lines)


def _as_many(right: Column, answers: Sequence[object]) -> Column:
    if len(right.values) != len(answers):
        raise DataError(f"{right.where}: {len(right.values)} rows for {len(answers)} predictions")
    return right


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _texts(value: object) -> list[str]:
    """One right answer, or an array of them."""
    return [_text(text) for text in value] if isinstance(value, list) else [_text(value)]
