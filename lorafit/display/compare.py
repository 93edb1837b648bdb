"""Two runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.files import JsonObject
from lorafit.format import number

if TYPE_CHECKING:
    from lorafit.metrics.significance import Difference
    from lorafit.verbs.compare import CompareResult


def show_comparison(display: Display, result: CompareResult, num_examples: int) -> None:
    """Scores, significance, and the examples that differ most."""
    comparison = result.comparison
    if display.json:
        display.print_json(_json(result))
        return
    display.print(f"A: {escape(str(result.a))}\nB: {escape(str(result.b))}\n")
    table = Table("score", "A", "B", "B - A", "95 %", "p", "test", box=None, header_style="bold")
    for difference in comparison.differences:
        table.add_row(*_row(difference))
    display.print_wide(table)
    display.print(
        f"\nof {comparison.num_examples:,} examples B is better on {comparison.num_better:,}, worse on "
        f"{comparison.num_worse:,} and the same on {comparison.num_same:,} ({comparison.measure})"
    )
    if comparison.num_left_out:
        display.print(f"{comparison.num_left_out:,} texts have no reference and are left out")
    for example in comparison.examples[:num_examples]:
        display.print(f"\nexample {example.index} ({example.gain:+.3f})", style="bold")
        expected = example.expected if isinstance(example.expected, list) else [example.expected]
        for name, value in (
            ("input", example.input),
            ("A", example.a),
            ("B", example.b),
            ("right", expected[0]),
        ):
            display.print(f"  {name + ':':<7}{escape(str(value))}")


def _row(difference: Difference) -> list[str]:
    low, high = difference.low, difference.high
    between = "" if low is None or high is None else f"{low:+.4g} to {high:+.4g}"
    return [
        difference.metric,
        number(difference.a),
        number(difference.b),
        f"{difference.difference:+.4g}",
        between,
        f"{difference.p_value:.4f}",
        difference.test,
    ]


def _json(result: CompareResult) -> JsonObject:
    comparison = result.comparison
    return {
        "a": str(result.a),
        "b": str(result.b),
        "task": result.task,
        "kind": comparison.kind,
        "num_examples": comparison.num_examples,
        "num_left_out": comparison.num_left_out,
        "better": comparison.num_better,
        "worse": comparison.num_worse,
        "same": comparison.num_same,
        "scores": [vars(d) | {"difference": d.difference} for d in comparison.differences],
        "measure": comparison.measure,
        "examples": [vars(example) for example in comparison.examples],
    }
