"""Commands that take an adapter folder: eval, predict, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.command import advise
from lorafit.cli.completion import complete_adapter
from lorafit.cli.options import (
    AdapterArgument,
    AdaptersArgument,
    Base,
    Beams,
    Force,
    GreedyFlag,
    Json,
    MaxNewTokens,
    Quiet,
    SamplingSeed,
    Split,
    Strategy,
    Temperature,
    TopP,
    strategy_name,
)
from lorafit.cli.stopping import stoppable
from lorafit.errors import RecipeError, SetArgument
from lorafit.imports import importing
from lorafit.recipe.bounds import BATCH

BatchSize = Annotated[
    int, typer.Option(min=1, max=BATCH.limit, help="Examples at a time; the result does not depend on it.")
]


def evaluate(
    adapters: AdaptersArgument,
    split: Annotated[Split, typer.Option(help="Which split to score.")] = "test",
    data: Annotated[
        Path | None,
        typer.Option(
            help="A file of other rows with the same columns.", show_default="the data that it was trained on"
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", "--metrics", help="Only this metric; may be repeated.", show_default=False),
    ] = None,
    batch_size: BatchSize = 16,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results; of several adapters, each has one in it.",
            show_default="eval/<split> beside the adapter",
        ),
    ] = None,
    glue_submission: Annotated[
        Path | None,
        typer.Option(help="Folder for the files that gluebenchmark.com takes.", show_default=False),
    ] = None,
    base: Base = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Predict and score a split of an adapter's task, or other rows; several adapters of one base side by side."""
    with importing():
        from lorafit.adapters import BaseChoice
        from lorafit.display import Display
        from lorafit.display.adapters import show_evaluation, show_evaluations
        from lorafit.recipe import EvalSection
        from lorafit.run.train import missing_by_name
        from lorafit.verbs import evaluate as verb

    section = EvalSection(metrics=tuple(metric) if metric else None, batch_size=batch_size)
    options = verb.EvaluateOptions(split, data, output, glue_submission)
    choice = BaseChoice(base, force)
    with Display(json=json, only_result=quiet) as display, stoppable() as group:
        results = verb.evaluate_several(adapters, choice, options, section, display.report, group)
    if len(results) == 1:
        show_evaluation(display, results[""])
    else:
        show_evaluations(display, results)
    if any(missing_by_name(metric or None, result.scores) for result in results.values()):
        raise typer.Exit(3)


def predict(
    adapters: Annotated[
        list[str],
        typer.Argument(
            metavar="ADAPTER... [TEXT]...",
            help="An adapter folder, and texts (without any, the lines of standard input). With --input, one adapter "
            "folder or several of one base.",
            show_default=False,
            autocompletion=complete_adapter,
        ),
    ],
    rows: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Rows in any format that data are read in; - is standard input, as JSON lines.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where the rows go with their predictions: .jsonl, .csv, .tsv or .parquet. The same command goes on "
            "where it was stopped.",
            show_default="standard output, as JSON lines",
        ),
    ] = None,
    strategy: Strategy = None,
    greedy: GreedyFlag = False,
    num_beams: Beams = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    max_new_tokens: MaxNewTokens = None,
    seed: SamplingSeed = None,
    batch_size: BatchSize = 16,
    base: Base = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Predict your own rows or texts: what the adapter writes, or the label or score."""
    with importing():
        from lorafit.adapters import BaseChoice
        from lorafit.decoding import Sampling
        from lorafit.display import Display
        from lorafit.display.adapters import show_predicted, show_predictions
        from lorafit.objectives.restored import restored_by_name
        from lorafit.verbs import predict as verb

    name = strategy_name(strategy, greedy)
    sampling = Sampling(name, temperature, top_p, max_new_tokens, seed, num_beams)
    choice = BaseChoice(base, force)
    with Display(json=json or output is None) as display, stoppable() as group:
        options = verb.PredictOptions(display.report, group, sampling, batch_size)
        if rows is None:
            if output is not None:
                raise RecipeError(
                    "output: rows are written, and texts are given", SetArgument("rows", "FILE")
                )
            folder, *texts = adapters
            texts = texts or [line.rstrip("\n") for line in sys.stdin if line.strip()]
            answers = dict(verb.predict(Path(folder), choice, texts, options))
        else:
            restored = restored_by_name([Path(folder) for folder in adapters], choice)
            predictions = verb.RowPredictions.of(restored, rows, options)
            if output is None:
                for line in predictions.lines():
                    display.print_line(line)
                return
            result = predictions.write(output)
    if rows is None:
        show_predictions(Display(json=json), [(given, answers[i]) for i, given in enumerate(texts)])
    else:
        show_predicted(display, result)


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

    display = Display(json=json)
    with display.working("verifying"):
        result = verb.verify(adapter, base)
    show_verification(display, result, advise(ctx, result.remedies))
    if not result.ok:
        raise typer.Exit(AdapterError.exit_code)
