"""The `lorafit` command. The module of a command is imported when that command is asked for."""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group
from typing_extensions import override

from lorafit.cli.command import add_command
from lorafit.imports import importing

COMMANDS = {
    "init": "init.init",
    "train": "training.train",
    "sweep": "sweep.sweep",
    "eval": "adapters.evaluate",
    "predict": "adapters.predict",
    "chat": "chat.chat",
    "score": "scoring.score",
    "verify": "adapters.verify",
    "merge": "conversion.merge",
    "export": "conversion.export",
    "combine": "conversion.combine",
    "import": "conversion.import_adapter",
    "show": "runs.show",
    "recipes": "recipes.recipes",
    "doctor": "doctor.doctor",
    "fetch": "prefetch.fetch",
    "table": "reports.table",
    "compare": "reports.compare",
    "analyze": "reports.analyze",
    "repro": "repro.repro",
    "report": "pages.report",
}
"""Name of a command -> module in `commands` and its function."""

GROUPS = {"runs": "runs.app", "recipe": "recipes.app", "data": "data.app"}
"""Name of a group of commands -> module in `commands` and its `Typer`."""


class Commands(UserDict[str, Any]):
    """Every command and group by name, each made when it is asked for."""

    @override
    def __getitem__(self, name: str) -> Any:
        found, one = _imported(self.data[name]), typer.Typer()
        if name in GROUPS:
            one.add_typer(found, name=name)
        else:
            add_command(one, name, found)
        return get_group(one).commands[name]


def _imported(path: str) -> Any:
    module, _, name = path.partition(".")
    with importing():
        return getattr(import_module(f"lorafit.cli.commands.{module}"), name)


class LazyGroup(TyperGroup):
    """A group of `Commands`."""

    @override
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = Commands(COMMANDS | GROUPS)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Fine-tune with LoRA, and get the LoRA paper's numbers again.",
    epilog="Exit codes: 0 done, 2 usage or recipe, 3 data or model missing or malformed, 4 out of memory, 5 diverged, "
    "6 bad adapter, 75 interrupted and resumable.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from lorafit.version import __version__

        typer.echo(f"lorafit {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
