"""The registered commands of the command line."""

from __future__ import annotations

from typing import Any

from typer.main import get_command

from lorafit.cli.app import app


def commands_below(command: Any, path: str = "") -> dict[str, Any]:
    """Every command below this one, by how it is called."""
    if not hasattr(command, "commands"):
        return {path.strip(): command}
    below = [commands_below(each, f"{path} {name}") for name, each in command.commands.items()]
    return {name: found for commands in below for name, found in commands.items()}


COMMANDS = commands_below(get_command(app))


def options(name: str) -> set[str]:
    """The options and arguments of a command, as they are typed."""
    return {option for parameter in COMMANDS[name].params for option in parameter.opts}
