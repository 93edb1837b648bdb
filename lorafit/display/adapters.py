"""Results of the commands that take an adapter folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from lorafit.display.display import Display
from lorafit.display.format import size
from lorafit.display.scores import show_samples, show_scores

if TYPE_CHECKING:
    from lorafit.tasks import Answer
    from lorafit.verbs.combine import CombineResult
    from lorafit.verbs.evaluate import EvaluateResult
    from lorafit.verbs.export import ExportResult
    from lorafit.verbs.import_ import ImportResult
    from lorafit.verbs.merge import MergeResult
    from lorafit.verbs.verify import VerifyResult


def show_evaluation(display: Display, result: EvaluateResult) -> None:
    """Scores of a split."""
    if display.json:
        value = {"adapter": str(result.adapter), "split": result.split, "folder": str(result.folder)}
        display.print_json(value | result.scores)
        return
    show_scores(display, result.scores, {})
    show_samples(display, result.samples)
    display.print(f"\npredictions and scores: {escape(str(result.folder))}")


def show_predictions(display: Display, answers: Sequence[tuple[str, Answer]]) -> None:
    """One line for each input."""
    if display.json:
        display.print_json([{"input": given, "prediction": answer} for given, answer in answers])
        return
    for _, answer in answers:
        sys.stdout.write(f"{', '.join(answer) if isinstance(answer, tuple) else answer}\n")


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
    proof = result.proof
    if display.json:
        value = {"max_logit_difference": proof.max_difference, "allowed_difference": proof.allowed}
        value |= {"least_survived": proof.least_survived}
        folder = {"folder": str(result.folder), "bytes": result.num_bytes}
        display.print_json({**folder, **value, "compared_with": proof.reference, "notes": result.notes})
        return
    display.print(f"wrote {escape(str(result.folder))} ({size(result.num_bytes)})")
    display.print(
        f"proven: {proof.num_logits:,} logits of {proof.num_inputs} inputs differ from {proof.reference} by at most "
        f"{proof.max_difference:.2g} (allowed {proof.allowed:.2g}); at least {proof.least_survived:.2%} of every "
        f"layer's update survived rounding"
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
