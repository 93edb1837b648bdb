"""Events and results on the terminal: live on one, plain lines elsewhere, JSON where asked."""

from __future__ import annotations

import json as json_module
import resource
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from lorafit.recipe import RecipeSummary, to_toml

if TYPE_CHECKING:  # the display of `lorafit recipes` must not wait for torch
    from lorafit.workflows.evaluate import EvaluateResult
    from lorafit.workflows.events import Event
    from lorafit.workflows.export import ExportResult
    from lorafit.workflows.merge import MergeResult
    from lorafit.workflows.plan import Plan
    from lorafit.workflows.train import TrainResult


class Display:
    """The only voice of the program. `report` takes events; the other methods print results.

    With `json` the result goes to stdout as one JSON value and everything else to stderr.
    """

    def __init__(self, *, json: bool = False, log_every: int = 10) -> None:
        self.json = json
        self.log_every = log_every
        self.console = Console(stderr=json, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._bars: dict[str, TaskID] = {}
        self._training: _TrainingLine | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            columns = (TextColumn("{task.description:>10}"), BarColumn(), TextColumn("{task.fields[text]}"))
            self._progress = Progress(*columns, console=self.console, transient=True)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def report(self, event: Event) -> None:
        """Show an event."""
        from lorafit.training import Stepped
        from lorafit.workflows import events

        match event:
            case events.Note():
                self.console.print(escape(event.text))
            case events.Started():
                self._training = _TrainingLine(event.num_steps)
                self.console.print(
                    f"training {event.num_trained:,} parameters on {event.num_examples:,} examples for "
                    f"{event.num_steps:,} steps ({event.device}, {event.dtype})"
                )
            case Stepped():
                self._stepped(event)
            case events.Progress():
                self._bar(event.what, event.done, event.total, f"{event.done}/{event.total}")
            case events.Validated():
                best = ", the best so far" if event.best else ""
                self.console.print(
                    f"epoch {event.epoch} (step {event.step}): validation loss {event.loss:.4f}{best}"
                )
            case events.Saved():
                self.console.print(f"wrote {escape(str(event.folder))} ({size(event.num_bytes)})")
            case events.Scored():
                self.console.print(f"{event.split} scores of the {event.who}: {scores_line(event.scores)}")
            case events.Finished():
                self.console.print(f"finished after {event.step:,} steps and {duration(event.seconds)}")

    def _stepped(self, event: Any) -> None:
        assert self._training is not None
        text = self._training.text(event)
        if self._progress is not None:
            self._bar("training", event.step, self._training.num_steps, text)
        elif event.step % self.log_every == 0:
            self.console.print(f"step {event.step}/{self._training.num_steps}  {text}")

    def _bar(self, what: str, done: int, total: int, text: str) -> None:
        """A live bar; without a terminal, a line at every tenth."""
        if self._progress is None:
            if what != "training" and (done == total or done * 10 // total > (done - 1) * 10 // total):
                self.console.print(f"{what} {text}")
            return
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(what, total=total, text=text)
        self._progress.update(self._bars[what], completed=done, text=text, visible=done < total)
        if done >= total:
            self._progress.remove_task(self._bars.pop(what))

    def plan(self, plan: Plan) -> None:
        """What a run would do."""
        if self.json:
            self._print_json(_plan_json(plan))
            return
        self.console.print(escape(to_toml(plan.recipe)))
        table = Table("parameters", "count", "shape", "values", "trained", box=None, header_style="bold")
        for group in plan.parameters:
            shape = "x".join(map(str, group.shape))
            table.add_row(
                group.name, str(group.count), shape, f"{group.num_values:,}", "yes" if group.trained else ""
            )
        self.console.print(table)
        head = f" + {plan.num_head:,} of the head" if plan.num_head else ""
        self.console.print(f"\ntrainable parameters: {plan.num_trained:,}{head} (base: {plan.num_total:,})")
        source = "in the training file" if plan.rows_known else "of the original data; the file is not here"
        self.console.print(f"training rows: {plan.num_train_rows:,} ({source})")
        schedule = plan.schedule
        self.console.print(
            f"optimizer steps: {schedule.num_steps:,}, {schedule.num_warmup:,} of them warm-up"
        )

    def train_result(self, plan: Plan, result: TrainResult) -> None:
        """The end of a run: scores beside the paper's, a few texts, and where everything is."""
        if self.json:
            value = {
                "run": str(result.run),
                "adapter": str(result.adapter),
                "already_finished": result.already_finished,
                **result.scores,
            }
            self._print_json(value)
            return
        if result.already_finished:
            self.console.print(f"{escape(str(result.run))}: this run is finished already; here is its result")
        self._scores(result.scores, plan.recipe.paper.scores)
        self._samples(result.samples)
        self.console.print(
            f"\nrun folder: {escape(str(result.run))}\nadapter:    {escape(str(result.adapter))}"
        )

    def evaluate_result(self, result: EvaluateResult) -> None:
        """Scores of a split."""
        if self.json:
            value = {"adapter": str(result.adapter), "split": result.split, "folder": str(result.folder)}
            self._print_json(value | result.scores)
            return
        self._scores(result.scores, {})
        self._samples(result.samples)
        self.console.print(f"\npredictions and scores: {escape(str(result.folder))}")

    def predictions(self, texts: Sequence[tuple[str, str]]) -> None:
        """One line for each context."""
        if self.json:
            self._print_json([{"input": context, "prediction": text} for context, text in texts])
            return
        for _, text in texts:
            sys.stdout.write(text + "\n")

    def merge_result(self, result: MergeResult) -> None:
        """Where the merged model is."""
        if self.json:
            self._print_json({"folder": str(result.folder), "bytes": result.num_bytes})
            return
        self.console.print(f"wrote {escape(str(result.folder))} ({size(result.num_bytes)})")

    def export_result(self, result: ExportResult) -> None:
        """Where the exported adapter is."""
        if self.json:
            self._print_json({"folder": str(result.folder), "format": result.format})
            return
        self.console.print(f"wrote {escape(str(result.folder))} ({result.format} format)")

    def recipes(self, recipes: Sequence[RecipeSummary]) -> None:
        """A line for each shipped recipe."""
        if self.json:
            self._print_json([vars(recipe) for recipe in recipes])
            return
        table = Table("recipe", "task", "base", "method", "paper", box=None, header_style="bold")
        for recipe in recipes:
            paper = f"Table {recipe.table}: {recipe.row}" if recipe.table else ""
            table.add_row(recipe.name, recipe.task, recipe.base, recipe.method, paper)
        self.console.print(table)

    def _scores(self, result: dict[str, Any], paper: dict[str, float]) -> None:
        scores = flat(result.get("scores", {}))
        base = flat((result.get("base") or {}))
        if not scores:
            return
        columns = [
            "score",
            "adapter",
            *(["bare base"] if base else []),
            *(["paper", "difference"] if paper else []),
        ]
        table = Table(*columns, box=None, header_style="bold")
        for name, value in scores.items():
            row = [name, number(value)]
            if base:
                row.append(number(base.get(name)))
            if paper:
                theirs = paper.get(name)
                ours_less = value - theirs if value is not None and theirs is not None else None
                row += [number(theirs), f"{ours_less:+.4g}" if ours_less is not None else ""]
            table.add_row(*row)
        self.console.print()
        self.console.print(table)
        for name, reason in flat(result.get("reasons", {})).items():
            self.console.print(f"{name}: {escape(str(reason))}")

    def _samples(self, samples: Sequence[dict[str, Any]]) -> None:
        for sample in samples:
            self.console.print(f"\ninput:     {escape(sample['input'])}")
            self.console.print(f"written:   {escape(sample['prediction'])}", style="bold")
            for reference in sample["references"][:2]:
                self.console.print(f"reference: {escape(reference)}")

    def _print_json(self, value: Any) -> None:
        sys.stdout.write(json_module.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


class _TrainingLine:
    """Loss, learning rate, tokens per second, time left and memory."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps
        self.started = time.monotonic()

    def text(self, event: Any) -> str:
        elapsed = time.monotonic() - self.started
        left = elapsed / event.step * (self.num_steps - event.step)
        speed = event.num_tokens / event.seconds
        return (
            f"loss {event.loss:.4f}  lr {event.learning_rate:.2e}  {speed:,.0f} tokens/s  "
            f"{duration(left)} left  {size(_memory())}"
        )


def _memory() -> int:
    """Peak memory in bytes: of the GPU where one is used, else of the process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "recipe": plan.recipe.model_dump(mode="json") | {"method": plan.method.options()},
        "trainable": plan.num_trained,
        "head": plan.num_head,
        "total": plan.num_total,
        "parameters": [vars(group) | {"shape": list(group.shape)} for group in plan.parameters],
        "train_rows": plan.num_train_rows,
        "train_rows_counted": plan.rows_known,
        "steps": plan.schedule.num_steps,
        "warmup_steps": plan.schedule.num_warmup,
    }


def flat(scores: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"all": {"bleu": 1}} -> {"all.bleu": 1}"""
    out: dict[str, Any] = {}
    for name, value in scores.items():
        out |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return out


def number(value: float | None) -> str:
    """Four significant digits; nothing for what is not known."""
    return "-" if value is None else f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


def scores_line(scores: dict[str, Any]) -> str:
    """bleu 65.93  nist 8.61"""
    return "  ".join(f"{name} {number(value)}" for name, value in flat(scores).items())


def size(num_bytes: int) -> str:
    """1577776 -> '1.6 MB'"""
    amount = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """83.2 -> '1:23'"""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
