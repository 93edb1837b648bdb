"""Adapter folder -> scores and predictions; and -> texts for contexts of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorafit import lora
from lorafit.adapters import Adapter, BaseChoice, read_adapter, restore
from lorafit.data import Split
from lorafit.decoding import Greedy, Sample, Strategy
from lorafit.errors import AdapterError, RecipeError, did_you_mean
from lorafit.evaluation import decode_texts
from lorafit.evaluation.generation import beam_search
from lorafit.files import write_json, write_jsonl, write_text
from lorafit.metrics import check_metric_names
from lorafit.models import Model
from lorafit.recipe import DecodeSection, EvalSection
from lorafit.run.events import Note, Report, Scored
from lorafit.run.placement import Placement
from lorafit.run.work import Job, evaluate_split, notes_on_metrics
from lorafit.tasks import TASKS, GenerationTask, Glue, Task


@dataclass(frozen=True)
class EvaluateResult:
    """Scores of one split, and where they were written."""

    adapter: Path
    split: str
    scores: dict[str, Any]
    folder: Path
    samples: list[dict[str, Any]]


@dataclass(frozen=True)
class Sampling:
    """How `predict` chooses tokens: "beam" as the adapter was trained, "greedy" or "sample"."""

    strategy: str = "beam"
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int | None = None
    seed: int = 0

    def of(self, model: Model, decode: DecodeSection) -> Strategy:
        """The decoding strategy. Raises RecipeError for an unknown one."""
        beam = beam_search(model, decode)
        num_tokens = self.max_new_tokens or decode.max_new_tokens
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
        known = ("beam", "greedy", "sample")
        hint = did_you_mean(self.strategy, known)
        raise RecipeError(f"--strategy {self.strategy}: unknown; one of {', '.join(known)}{hint}")


def evaluate(
    folder: Path,
    base: BaseChoice,
    split: Split,
    data_file: Path | None,
    output: Path | None,
    section: EvalSection,
    report: Report,
    submission: Path | None = None,
) -> EvaluateResult:
    """Score an adapter on a split of the data it was trained on, or on `data_file` of the same format.

    Predictions and scores go to `output`, by default the folder `eval` beside the adapter folder; `submission` names a
    folder for the files that gluebenchmark.com takes.
    """
    adapter = read_adapter(folder)
    task = task_of(adapter)
    if submission is not None and not (isinstance(task, Glue) and split == "test"):
        raise RecipeError("--glue-submission: needs --split test and an adapter of a GLUE task")
    check_metric_names(task.name, section.metrics)
    data = adapter.card.data
    if data_file is not None:
        data = data.model_copy(update={split: str(data_file)})
    examples = task.read(data, split, lambda text: report(Note(text)))
    for note in notes_on_metrics(task, section):
        report(note)
    model = _placed(adapter, base)
    evaluation = evaluate_split(
        task, model, examples, data=data, decode=adapter.card.decode, section=section, job=Job(report)
    )
    assert evaluation is not None  # this process leads
    result, lines = evaluation.scores.to_json(), evaluation.predictions
    report(Scored(split, "adapter", result["scores"], result["signatures"]))
    target = output or folder.resolve().parent / "eval" / split
    write_jsonl(target / "predictions.jsonl", lines)
    write_json(target / "scores.json", {"split": split, **result})
    if submission is not None and isinstance(task, Glue):
        for name, text in task.submission(examples, evaluation.decisions).items():
            write_text(submission / name, text)
            report(Note(f"wrote {submission / name}"))
    return EvaluateResult(folder, split, result, target, lines[:3])


def predict(
    folder: Path, base: BaseChoice, contexts: Sequence[str], sampling: Sampling, batch_size: int
) -> Iterator[tuple[int, str]]:
    """(index, text) for every context, as batches are done."""
    adapter = read_adapter(folder)
    if not isinstance(task_of(adapter), GenerationTask):
        raise RecipeError(f"{folder}: trained for {adapter.card.task.name}, which writes no text; use eval")
    model = _placed(adapter, base)
    with lora.merged(model.net):
        yield from decode_texts(
            model, contexts, sampling.of(model, adapter.card.decode), batch_size=batch_size
        )


def task_of(adapter: Adapter) -> Task:
    """The adapter's task. Raises AdapterError when this lorafit has none of that name."""
    name = adapter.card.task.name
    if name not in TASKS:
        raise AdapterError(
            f"{adapter.folder}: trained for task {name!r}, unknown here{did_you_mean(name, TASKS)}"
        )
    return TASKS[name]


def _placed(adapter: Adapter, base: BaseChoice) -> Model:
    model = restore(adapter, base=base.base, force=base.force)
    Placement.of("float32").place(model)
    return model
