"""Results of the commands that take an adapter folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.display.scores import show_samples, show_scores
from lorafit.files import JsonObject
from lorafit.format import number, size
from lorafit.metrics.score import flat

if TYPE_CHECKING:
    from lorafit.objectives import Answered
    from lorafit.verbs.combine import CombineResult
    from lorafit.verbs.evaluate import EvaluateResult
    from lorafit.verbs.export import ExportResult
    from lorafit.verbs.import_ import ImportResult
    from lorafit.verbs.merge import MergeResult
    from lorafit.verbs.predict import PredictResult
    from lorafit.verbs.verify import VerifyResult


def show_evaluation(display: Display, result: EvaluateResult) -> None:
    """Scores of a split."""
    if display.json:
        display.print_json(_as_json(result))
        return
    show_scores(display, result.scores, {})
    show_samples(display, result.samples)
    display.print(f"\npredictions and scores: {escape(str(result.folder))}")


def show_evaluations(display: Display, results: Mapping[str, EvaluateResult]) -> None:
    """Scores of several adapters, side by side."""
    if display.json:
        display.print_json({name: _as_json(result) for name, result in results.items()})
        return
    scores = {name: flat(result.scores.get("scores") or {}) for name, result in results.items()}
    table = Table("score", *map(escape, results), box=None, header_style="bold")
    for key in dict.fromkeys(key for each in scores.values() for key in each):
        table.add_row(key, *(number(each.get(key)) for each in scores.values()))
    display.print()
    display.print_wide(table)
    for name, result in results.items():
        display.print(f"{escape(name)}: predictions and scores: {escape(str(result.folder))}")


def _as_json(result: EvaluateResult) -> JsonObject:
    value = {"adapter": str(result.adapter), "split": result.split, "folder": str(result.folder)}
    return value | result.scores


def show_predictions(display: Display, answers: Sequence[tuple[str, Answered]]) -> None:
    """One line for each input."""
    if display.json:
        display.print_json([{"input": given} | answered.to_json() for given, answered in answers])
        return
    for _, answered in answers:
        answer = answered.value
        display.print_line(", ".join(answer) if isinstance(answer, tuple) else str(answer))


def show_predicted(display: Display, result: PredictResult) -> None:
    """Where the rows with their predictions are."""
    if display.json:
        display.print_json({**vars(result), "output": str(result.output)})
        return
    before = f", {result.num_before:,} of them before" if result.num_before else ""
    display.print(f"wrote {escape(str(result.output))}: {result.num_rows:,} rows{before}")


def show_verification(display: Display, result: VerifyResult, advice: Sequence[str]) -> None:
    """The verdict, which and where, and what helps."""
    if display.json:
        value = {name: value for name, value in vars(result).items() if name != "remedies"}
        display.print_json({**value, "adapter": str(result.adapter), "ok": result.ok})
        return
    style = "bold green" if result.ok else "bold red"
    display.print(f"[{style}]{result.verdict}[/]: {escape(result.detail)}")
    for text in advice:
        display.print(f"what helps: {escape(text)}")
    for note in result.notes:
        display.print(f"note: {escape(note)}")


def show_merge(display: Display, result: MergeResult) -> None:
    """Where the merged model is, and what was proven of it."""
    weights, answers = result.weights, result.answers
    if display.json:
        value = {"folder": str(result.folder), "bytes": result.num_bytes, "tensors": weights.num_tensors}
        value |= {"max_weight_error": weights.max_error, "least_survived": weights.least_survived}
        value |= {
            "max_logit_difference": answers and answers.max_difference,
            "allowed_difference": answers and answers.allowed,
            "compared_with": answers and answers.reference,
        }
        display.print_json({**value, "notes": result.notes})
        return
    display.print(f"wrote {escape(str(result.folder))} ({size(result.num_bytes)})")
    display.print(
        f"proven: all {weights.num_tensors:,} tensors stand there as merged, at most {weights.max_error:.2g} from the "
        f"merge in float64; at least {weights.least_survived:.2%} of every layer's update survived rounding"
    )
    if answers is not None:
        display.print(
            f"proven: {answers.num_logits:,} logits of {answers.num_inputs} inputs differ from {answers.reference} by "
            f"at most {answers.max_difference:.2g} (allowed {answers.allowed:.2g})"
        )
    for note in result.notes:
        display.print(f"note: {escape(note)}")


def show_export(display: Display, result: ExportResult) -> None:
    """Where the exported adapter is."""
    if display.json:
        display.print_json({**vars(result), "folder": str(result.folder)})
        return
    display.print(f"wrote {escape(str(result.folder))} ({result.format} format)")
    if result.url:
        display.print(f"uploaded: {escape(result.url)}")
    if result.command:
        display.print(f"serve it: {escape(result.command)}")
    for note in result.notes:
        display.print(f"note: {escape(note)}")


def show_combination(display: Display, result: CombineResult) -> None:
    """The new adapter folder and what it is."""
    method = result.card.method
    if display.json:
        display.print_json({"folder": str(result.folder), "method": method, "notes": result.notes})
        return
    targets = " ".join(method["targets"])
    display.print(f"wrote {escape(str(result.folder))}: r {method['r']} on {escape(targets)}")
    for note in result.notes:
        display.print(f"note: {escape(note)}")


def show_import(display: Display, result: ImportResult) -> None:
    """The new adapter folder and what it is."""
    card = result.card
    if display.json:
        method = {"method": card.method, "task": card.task}
        value = {"folder": str(result.folder), "tensors": result.num_tensors, **method}
        display.print_json({**value, "notes": result.notes})
        return
    targets = " ".join(card.method["targets"])
    display.print(
        f"wrote {escape(str(result.folder))}: {result.num_tensors} tensors, r {card.method['r']}, "
        f"alpha {card.method['alpha']:g} on {escape(targets)}; task {card.task['name']}"
    )
    for note in result.notes:
        display.print(f"note: {escape(note)}")
