"""Commands that take an adapter folder: eval, predict, verify."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.options import AdapterArgument, Base, Debug, Force, Json


class SplitName(StrEnum):
    """A split of a task's data."""

    train = "train"
    valid = "valid"
    test = "test"


BatchSize = Annotated[int, typer.Option(min=1, help="Examples decoded at once; changes no result.")]


def evaluate(
    adapter: AdapterArgument,
    split: Annotated[SplitName, typer.Option(help="Which split to score.")] = SplitName.test,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A file in the task's format. [default: where the adapter was trained]", show_default=False
        ),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric; may be given often.", show_default=False)
    ] = None,
    batch_size: BatchSize = 16,
    output: Annotated[
        Path | None,
        typer.Option(help="Where to write. [default: eval/<split> beside the adapter]", show_default=False),
    ] = None,
    glue_submission: Annotated[
        Path | None,
        typer.Option(help="Also write the files that gluebenchmark.com takes there.", show_default=False),
    ] = None,
    base: Base = None,
    force: Force = False,
    json: Json = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Predict and score a split of an adapter's task."""
    from lorafit.adapters import BaseChoice
    from lorafit.display import Display
    from lorafit.display.adapters import show_evaluation
    from lorafit.recipe import EvalSection
    from lorafit.run.stop import StopRequest
    from lorafit.run.train import missing_by_name
    from lorafit.training import ProcessGroup
    from lorafit.verbs.evaluate import EvaluateOptions
    from lorafit.verbs.evaluate import evaluate as evaluate_adapter

    section = EvalSection(metrics=tuple(metric) if metric else None, batch_size=batch_size)
    options = EvaluateOptions(split.value, data, output, glue_submission)
    with Display(json=json) as display, StopRequest() as stop:
        result = evaluate_adapter(
            adapter, BaseChoice(base, force), options, section, display.report, ProcessGroup(stop)
        )
    show_evaluation(display, result)
    if missing_by_name(metric or None, result.scores):
        raise typer.Exit(3)


def predict(
    adapter: AdapterArgument,
    contexts: Annotated[
        list[str] | None,
        typer.Argument(help="Contexts. [default: one per line from standard input]", show_default=False),
    ] = None,
    strategy: Annotated[str, typer.Option(help="beam (as trained), greedy or sample.")] = "beam",
    temperature: Annotated[float, typer.Option(min=0.0, help="Of sampling.")] = 1.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of sampling.")] = 1.0,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens at most. [default: as trained]", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    batch_size: BatchSize = 16,
    base: Base = None,
    force: Force = False,
    json: Json = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Write a text for each context of your own."""
    from lorafit.adapters import BaseChoice
    from lorafit.display import Display
    from lorafit.display.adapters import show_predictions
    from lorafit.run.stop import StopRequest
    from lorafit.training import ProcessGroup
    from lorafit.verbs.predict import Sampling
    from lorafit.verbs.predict import predict as predict_texts

    given = contexts if contexts is not None else [line.rstrip("\n") for line in sys.stdin if line.strip()]
    sampling = Sampling(strategy, temperature, top_p, max_new_tokens, seed)
    display = Display(json=json)
    with StopRequest() as stop:
        choice = BaseChoice(base, force)
        texts = dict(predict_texts(adapter, choice, given, sampling, batch_size, ProcessGroup(stop)))
    show_predictions(display, [(context, texts[i]) for i, context in enumerate(given)])


def verify(
    adapter: AdapterArgument,
    base: Base = None,
    json: Json = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Check an adapter's files, its base, and that it computes what it computed when it was trained."""
    from lorafit.display import Display
    from lorafit.display.adapters import show_verification
    from lorafit.errors import AdapterError
    from lorafit.verbs.verify import verify as carry_out

    result = carry_out(adapter, base)
    show_verification(Display(json=json), result)
    if not result.ok:
        raise typer.Exit(AdapterError.exit_code)
