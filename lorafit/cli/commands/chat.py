"""`lorafit chat`: a conversation at a terminal, or line by line from a pipe."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from lorafit.cli.options import (
    AdaptersArgument,
    Base,
    Beams,
    Force,
    GreedyFlag,
    MaxNewTokens,
    SamplingSeed,
    Strategy,
    Temperature,
    TopP,
    strategy_name,
)
from lorafit.errors import RecipeError, did_you_mean
from lorafit.imports import importing

if TYPE_CHECKING:
    from lorafit.verbs.chat import ChatSession

_COMMANDS = ("/reset", "/use", "/help", "/exit")
_HELP = "/reset begins anew, /use NAME lets another adapter answer, /exit (or the end of the input) leaves"


def chat(
    adapters: AdaptersArgument,
    system: Annotated[
        str | None,
        typer.Option(help="What the assistant is told in front of all turns.", show_default=False),
    ] = None,
    strategy: Strategy = None,
    greedy: GreedyFlag = False,
    num_beams: Beams = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    max_new_tokens: MaxNewTokens = None,
    seed: SamplingSeed = None,
    base: Base = None,
    force: Force = False,
) -> None:
    """Talk with an adapter that was trained on conversations, or with several of one base.

    Each line of the input is what the user says; /reset, /use NAME and /exit are commands. The answers are shown as
    they are written: the likeliest token every time, unless options say otherwise.
    """
    with importing():
        from lorafit.adapters import BaseChoice
        from lorafit.decoding import Sampling
        from lorafit.display import Display
        from lorafit.verbs.chat import ChatSession

    name = strategy_name(strategy, greedy)
    sampling = Sampling(name, temperature, top_p, max_new_tokens, seed, num_beams)
    notes = Display(json=True)  # on stdout stand the answers alone
    with notes.working("loading"):
        session = ChatSession.of(adapters, BaseChoice(base, force), notes.report, sampling, system)
    if sys.stdin.isatty():
        typer.echo(_HELP, err=True)
    try:
        for line in _lines():
            if line == "/exit":
                return
            if line.startswith("/"):
                _obey(session, line)
                continue
            for piece in session.answer(line):
                typer.echo(piece, nl=False)
                sys.stdout.flush()
            typer.echo()
    except KeyboardInterrupt:
        typer.echo()


def _lines() -> Iterator[str]:
    """What is typed, line by line, without blank lines; to the end of the input."""
    if sys.stdin.isatty():
        importlib.import_module("readline")  # lets `input` edit lines
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if line:
            yield line


def _obey(session: ChatSession, line: str) -> None:
    """A command; one that is not understood is said, and the conversation goes on."""
    command, _, name = line.partition(" ")
    match command:
        case "/reset":
            session.reset()
        case "/help":
            typer.echo(_HELP, err=True)
        case "/use":
            try:
                session.use(name.strip())
            except RecipeError as error:
                typer.echo(f"error: {error}", err=True)
        case _:
            hint = did_you_mean(command, _COMMANDS) or f"; there are {', '.join(_COMMANDS)}"
            typer.echo(f"error: no command {command!r}{hint}", err=True)
