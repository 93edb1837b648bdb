"""A command whose errors end in lines that advise only what this very command accepts."""

from __future__ import annotations

import functools
import inspect
import shlex
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption
from typing_extensions import override

from lorafit.errors import (
    ChangeArgument,
    DropArgument,
    LorafitError,
    NotFoundError,
    Remedy,
    SetArgument,
    SetKey,
    noted,
    with_remedies,
)

# Keys of a recipe for which commands without a recipe have a parameter.
_PARAMETER_OF_KEY = {
    "model.base": "base",
    "eval.batch_size": "batch_size",
    "decode.max_new_tokens": "max_new_tokens",
    "decode.num_beams": "num_beams",
    **dict.fromkeys(("data.train", "data.valid", "data.test"), "data"),
}

_SHOWN_CHARACTERS = 80  # of a file's name

_FLAGS = {"strategy": "greedy"}  # what sets a parameter, too


Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def add_command(app: typer.Typer, name: str, function: Callable[..., None]) -> None:
    """Register a command, with the option `--debug` besides its own."""

    @functools.wraps(function)
    def run(*args: object, debug: bool = False, **options: object) -> None:  # Command reads `debug`
        del debug
        function(*args, **options)

    own = inspect.signature(function, eval_str=True)
    parameter = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    vars(run)["__signature__"] = own.replace(parameters=[*own.parameters.values(), parameter])
    run.__annotations__ = {**function.__annotations__, "debug": Debug}
    app.command(name, cls=Command)(run)


def _explained(error: LorafitError | OSError) -> LorafitError:
    """The same; or what the system says of a file, such as a name that is too long. Raises what is about no file."""
    if isinstance(error, LorafitError):
        return error
    if error.filename is None or error.strerror is None:
        raise error
    name = str(error.filename)
    shown = name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…"
    return NotFoundError(f"{shown}: {error.strerror}")


class Command(TyperCommand):
    """Shows a LorafitError on stderr, with its traceback where `--debug` was given, and ends with its exit code."""

    flags: Mapping[str, str] = {}  # parameters that a flag was given for -> the flag

    @override
    def invoke(self, ctx: Any) -> object:
        try:
            return super().invoke(ctx)
        except (LorafitError, OSError) as caught:
            error = _explained(caught)
            self.flags = {name: flag for name, flag in _FLAGS.items() if ctx.params.get(flag)}
            if ctx.params.get("debug"):
                traceback.print_exc()
            for line in self.explain(error).splitlines():
                typer.echo(f"error: {line}", err=True)
            raise typer.Exit(error.exit_code) from None

    def explain(self, error: LorafitError) -> str:
        """What is wrong and what helps, in the words of this command."""
        return "\n".join(with_remedies(part.message, self.advise(part.remedies)) for part in error.parts)

    def advise(self, remedies: Iterable[Remedy]) -> list[str]:
        """Remedies as they are typed here. Those that this command cannot take are left out."""
        return [text for remedy in remedies if (text := self.advice(remedy))]

    def advice(self, remedy: Remedy) -> str:
        """A remedy as it is typed here; "" where this command has no parameter for it."""
        match remedy:
            case SetKey(key, value, note):
                if option := self._typed("overrides"):
                    typed = remedy.assignment if value is None else shlex.quote(remedy.assignment)
                    return f"use {option} {typed}{noted(note)}"
                return self.advice(SetArgument(_PARAMETER_OF_KEY.get(key, ""), value, note))
            case SetArgument(name, value, note):
                return f"use {typed}{noted(note)}" if (typed := self._typed(name, value or "…")) else ""
            case ChangeArgument(name):
                return f"choose another {typed}" if (typed := self._typed(name)) else ""
            case DropArgument(name):
                return f"leave out {typed}" if (typed := self._typed(name)) else ""
            case _:
                return str(remedy)

    def _typed(self, name: str, value: object = "") -> str:
        """`--output`, `--output VALUE`, `--force`, or the metavar of an argument; "" without such a parameter."""
        for parameter in self.params:
            if parameter.name != self.flags.get(name, name):
                continue
            if not isinstance(parameter, TyperOption):
                return parameter.metavar or name.upper()
            if parameter.is_flag or not value:
                return parameter.opts[0]
            return f"{parameter.opts[0]} {parameter.metavar if value is True else value}"
        return ""


def advise(ctx: typer.Context, remedies: Iterable[Remedy]) -> list[str]:
    """Remedies as they are typed for the command that runs."""
    return ctx.command.advise(remedies) if isinstance(ctx.command, Command) else list(map(str, remedies))
