"""The runs of a table: planned, while they go on, and how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.errors import Remedy, with_remedies
from lorafit.format import duration
from lorafit.paper.repro import JobEvent, JobOutput, JobStarted, Outcome

if TYPE_CHECKING:
    from lorafit.paper.estimate import Estimate
    from lorafit.paper.jobs import Job


def show_runs(
    display: Display,
    events: Iterable[JobEvent],
    jobs: Sequence[Job],
    advise: Callable[[Sequence[Remedy]], list[str]],
    *,
    verbose: bool,
) -> list[Outcome]:
    """What happens while a table is run; returns how every job ended.

    On a terminal each running job has a line that shows the last it wrote; `verbose` shows all that it writes.
    `advise` puts remedies into words.
    """
    outcomes = []
    for event in events:
        title = escape(event.job.title)
        match event:
            case JobStarted():
                display.print(f"run {jobs.index(event.job) + 1}/{len(jobs)}: {title}")
            case JobOutput() if verbose:
                display.print(f"  {title}: {escape(event.line)}")
            case JobOutput():
                display.show_status(event.job.title, event.line)
            case Outcome():
                display.show_status(event.job.title, None)
                show_outcome(display, event, advise(event.remedies))
                outcomes.append(event)
    return outcomes


def show_outcome(display: Display, outcome: Outcome, advice: Sequence[str]) -> None:
    """How a job ended."""
    title = escape(outcome.job.title)
    match outcome.status:
        case "done":
            display.print(f"  done: {title} ({duration(outcome.seconds)})")
        case "not tried":
            needs = f", since {escape(outcome.job.needs.title)} failed" if outcome.job.needs else ""
            display.print(f"  {title}: not tried{needs}", style="yellow")
        case "failed":
            where = f" (log: {outcome.log})" if outcome.log is not None else ""
            error = with_remedies(outcome.error, advice)
            display.print(f"  {title}: failed: {escape(error + where)}", style="red")
        case _:
            display.print(f"  {title}: {outcome.status}")


def show_summary(display: Display, outcomes: Sequence[Outcome]) -> None:
    """How many jobs ended how."""
    counts = Counter(outcome.status for outcome in outcomes)
    display.print("\n" + ", ".join(f"{count} {status}" for status, count in counts.items()))


def show_estimates(display: Display, estimates: Sequence[Estimate]) -> None:
    """Every run with its state and cost, and what is left to do."""
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
        "hours: of training on this machine, extrapolated from a step with a few layers of each base; "
        "validation, decoding and scoring are not included"
    )


def _json(estimates: Sequence[Estimate]) -> list[dict[str, object]]:
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
