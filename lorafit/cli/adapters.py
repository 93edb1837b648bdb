"""Commands that take an adapter folder: eval, predict, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.command import advise
from lorafit.cli.options import AdapterArgument, Base, Force, Json, Split
from lorafit.cli.stopping import stoppable
from lorafit.imports import importing
from lorafit.recipe.bounds import BATCH

BatchSize = Annotated[
    int, typer.Option(min=1, max=BATCH.limit, help="Examples at a time; the result does not depend on it.")
]


def evaluate(
    adapter: AdapterArgument,
    split: Annotated[Split, typer.Option(help="Which split to score.")] = "test",
    data: Annotated[
        Path | None,
        typer.Option(help="A file in the task's format.", show_default="the data that it was trained on"),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric; may be repeated.", show_default=False)
    ] = None,
    batch_size: BatchSize = 16,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the results.", show_default="eval/<split> beside the adapter"),
    ] = None,
    glue_submission: Annotated[
        Path | None,
        typer.Option(help="Folder for the files that gluebenchmark.com takes.", show_default=False),
    ] = None,
    base: Base = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Predict and score a split of an adapter's task."""
    with importing():
        from lorafit.adapters import BaseChoice
        from lorafit.display import Display
        from lorafit.display.adapters import show_evaluation
        from lorafit.recipe import EvalSection
        from lorafit.run.train import missing_by_name
        from lorafit.verbs import evaluate as verb

    section = EvalSection(metrics=tuple(metric) if metric else None, batch_size=batch_size)
    options = verb.EvaluateOptions(split, data, output, glue_submission)
    choice = BaseChoice(base, force)
    with Display(json=json) as display, stoppable() as group:
        result = verb.evaluate(adapter, choice, options, section, display.report, group)
    show_evaluation(display, result)
    if missing_by_name(metric or None, result.scores):
        raise typer.Exit(3)


def predict(
    adapter: AdapterArgument,
    contexts: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT", help="Texts.", show_default="the lines of standard input"),
    ] = None,
    strategy: Annotated[str, typer.Option(help="beam (as trained), greedy or sample.")] = "beam",
    temperature: Annotated[
        float, typer.Option(help="For sampling, greater than 0; below 1 it prefers likely tokens.")
    ] = 1.0,
    top_p: Annotated[
        float,
        typer.Option(help="For sampling; the likeliest tokens that together are this probable, at most 1."),
    ] = 1.0,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(help="Longest text, in tokens.", show_default="as trained"),
    ] = None,
    seed: Annotated[int, typer.Option(help="For sampling.")] = 0,
    batch_size: BatchSize = 16,
    base: Base = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Predict your own inputs: a text for each context, or the label or score of each text."""
    with importing():
        from lorafit.adapters import BaseChoice
        from lorafit.display import Display
        from lorafit.display.adapters import show_predictions
        from lorafit.verbs import predict as verb

    inputs = contexts if contexts is not None else [line.rstrip("\n") for line in sys.stdin if line.strip()]
    sampling = verb.Sampling(strategy, temperature, top_p, max_new_tokens, seed)
    choice = BaseChoice(base, force)
    with Display(json=True) as notes, stoppable() as group:  # on stdout stand the answers alone
        answers = dict(verb.predict(adapter, choice, inputs, sampling, batch_size, notes.report, group))
    show_predictions(Display(json=json), [(given, answers[i]) for i, given in enumerate(inputs)])


def verify(
    ctx: typer.Context,
    adapter: AdapterArgument,
    base: Base = None,
    json: Json = False,
) -> None:
    """Check an adapter's files and base, and that it still computes what it computed when it was trained."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.adapters import show_verification
        from lorafit.errors import AdapterError
        from lorafit.verbs import verify as verb

    result = verb.verify(adapter, base)
    show_verification(Display(json=json), result, advise(ctx, result.remedies))
    if not result.ok:
        raise typer.Exit(AdapterError.exit_code)
