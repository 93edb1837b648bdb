"""A table's runs: as a plan, while they go on, and how they ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.display.format import duration

if TYPE_CHECKING:
    from lorafit.paper.estimate import Estimate
    from lorafit.paper.repro import Job, Outcome


def show_job(display: Display, number: int, total: int, job: Job) -> None:
    """A run begins."""
    display.print(f"run {number}/{total}: {job.title}")


def show_outcome(display: Display, outcome: Outcome) -> None:
    """A run has ended, or needs not be made."""
    title = escape(outcome.job.title)
    match outcome.status:
        case "done":
            display.print(f"  done: {title} ({duration(outcome.seconds)})")
        case "finished before":
            display.print(f"  {title}: finished before")
        case "not tried":
            assert outcome.job.needs is not None
            display.print(f"  {title}: not tried, since {outcome.job.needs.title} failed", style="yellow")
        case _:
            display.print(f"  {title}: failed: {escape(str(outcome.error))}", style="red")


def show_summary(display: Display, counts: dict[str, int]) -> None:
    """How many ended how."""
    display.print("\n" + ", ".join(f"{count} {status}" for status, count in counts.items()))


def show_estimates(display: Display, estimates: Sequence[Estimate]) -> None:
    """What `--dry-run` prints."""
    if display.json:
        display.print_json(_json(estimates))
        return
    table = Table(
        "run", "seed", "state", "steps", "trained", "head", "hours", "needs", box=None, header_style="bold"
    )
    for estimate in estimates:
        job = estimate.job
        hours = "" if estimate.hours is None else f"{estimate.hours:.2f}"
        needs = job.needs.title if job.needs else ""
        table.add_row(
            job.recipe,
            str(job.seed),
            estimate.state,
            f"{estimate.num_steps:,}",
            f"{estimate.num_trained:,}",
            f"{estimate.num_head:,}" if estimate.num_head else "",
            hours,
            needs,
        )
    display.print_wide(table)
    missing = [e for e in estimates if e.state != "finished"]
    total_hours = sum(e.hours or 0.0 for e in missing)
    steps = sum(e.num_steps for e in missing)
    display.print(
        f"\n{len(missing)} of {len(estimates)} runs to make, {steps:,} optimizer steps, {total_hours:,.1f} hours"
    )
    display.print(
        "hours: of training on this machine, drawn out from a step with a few layers of each base; "
        "validation, decoding and scoring come on top"
    )


def _json(estimates: Sequence[Estimate]) -> list[dict[str, Any]]:
    return [
        {
            "recipe": e.job.recipe,
            "seed": e.job.seed,
            "run": str(e.job.output),
            "state": e.state,
            "steps": e.num_steps,
            "trainable": e.num_trained,
            "head": e.num_head,
            "hours": e.hours,
            "needs": str(e.job.needs.output) if e.job.needs else None,
            "rows": list(e.job.rows),
        }
        for e in estimates
    ]
