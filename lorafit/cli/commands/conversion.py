"""Commands that turn an adapter into something else, or something else into an adapter: merge, export, combine,
import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.completion import complete_adapter
from lorafit.cli.options import (
    AdapterArgument,
    Base,
    Force,
    Json,
    OutputArgument,
    choice,
    described,
)
from lorafit.cli.parsing import parse_size, parse_weighted
from lorafit.imports import importing
from lorafit.interop.models import MODEL_WRITERS, Onto, Proof
from lorafit.interop.programs import PROGRAMS
from lorafit.interop.readers import READERS
from lorafit.interop.writers import WRITERS

_DTYPES = tuple(dict.fromkeys(name for writer in MODEL_WRITERS.values() for name in writer.dtypes))
_WRITES = {name: writer.help for name, writer in WRITERS.items()}
_SERVES = {name: program.help for name, program in PROGRAMS.items()}
_READS = {name: reader.help for name, reader in READERS.items()}


def merge(
    adapter: AdapterArgument,
    output: OutputArgument,
    dtype: Annotated[
        str | None, choice("--dtype", _DTYPES, "Number format of the result.", "the base's")
    ] = None,
    max_shard_size: Annotated[
        str | None,
        typer.Option(help="Largest file, such as 5GB.", show_default="files as the base has them"),
    ] = None,
    proof: Annotated[
        Proof | None,
        typer.Option(
            help="weights: every tensor against the merge in float64; forward: the answers on a few inputs too.",
            show_default="forward for a base below 2 GB, else weights",
        ),
    ] = None,
    onto: Annotated[
        Onto | None,
        typer.Option(
            help="For a base in 4 bits, the weights to add to: quantized, as training saw them; original, as its files "
            "have them, and how far that moves the answers is measured.",
            show_default="quantized for such a base",
        ),
    ] = None,
    base: Base = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write base + adapter as a plain Hugging Face model folder, and prove that it computes the same."""
    with importing():
        from lorafit.adapters import BaseChoice
        from lorafit.display import Display
        from lorafit.display.adapters import show_merge
        from lorafit.verbs import merge as verb

    shard_bytes = parse_size("--max-shard-size", max_shard_size) if max_shard_size else None
    display = Display(json=json)
    with display.working("merging"):
        result = verb.merge(
            adapter, output, BaseChoice(base, force), dtype, shard_bytes, proof=proof, onto=onto
        )
    show_merge(display, result)


def export(
    adapter: AdapterArgument,
    output: OutputArgument,
    format: Annotated[
        str | None, choice("--format", _WRITES, described(_WRITES), next(iter(WRITERS)))
    ] = None,
    program: Annotated[
        str | None,
        choice("--for", _SERVES, f"The program that is to serve it. {described(_SERVES)}", False),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            metavar="REPO", help="Also upload the folder to this hub repository.", show_default=False
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    base: Base = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the adapter in another program's format; with --for, check that program's limits and say what serves it."""
    with importing():
        from lorafit.adapters import BaseChoice
        from lorafit.display import Display
        from lorafit.display.adapters import show_export
        from lorafit.interop.hub import Upload
        from lorafit.verbs import export as verb

    display, where = Display(json=json), BaseChoice(base, force)
    upload = Upload(push_to_hub, private) if push_to_hub else None
    with display.working("exporting"):
        result = verb.export(adapter, output, format, where, upload, program, display.print)
    show_export(display, result)


def combine(
    adapters: Annotated[
        list[str],
        typer.Argument(
            metavar="ADAPTER[:WEIGHT]...",
            help="Adapter folders of one base, each with how much of it; 1 where nothing is said.",
            show_default=False,
            autocompletion=complete_adapter,
        ),
    ],
    output: OutputArgument,
    base: Base = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the weighted sum of adapters as one adapter."""
    with importing():
        from lorafit.adapters import BaseChoice
        from lorafit.display import Display
        from lorafit.display.adapters import show_combination
        from lorafit.verbs import combine as verb

    parts = [verb.Part(Path(folder), weight) for folder, weight in map(parse_weighted, adapters)]
    display = Display(json=json)
    with display.working("combining"):
        result = verb.combine(parts, output, BaseChoice(base, force))
    show_combination(display, result)


def import_adapter(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The foreign file or folder.", show_default=False)
    ],
    output: OutputArgument,
    format_name: Annotated[str, choice("--format", _READS, described(_READS))],
    base: Annotated[str, typer.Option("--base", help="The base; its config is enough.", show_default=False)],
    alpha: Annotated[
        float | None,
        typer.Option(help="LoRA's alpha, which loralib's files do not hold.", show_default=False),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="What it was trained for, such as mnli or e2e.", show_default=False)
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(help="Chat template whose tokens it added, such as chatml.", show_default=False),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="Part of a fused projection that it adapts; may be repeated.",
            show_default="query and value",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Turn another program's adapter into an adapter folder."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.adapters import show_import
        from lorafit.verbs import import_ as verb

    options = verb.ImportOptions(alpha, task, template, tuple(targets) if targets else None)
    display = Display(json=json)
    with display.working("importing"):
        result = verb.import_adapter(file, output, format_name, base, options)
    show_import(display, result)
