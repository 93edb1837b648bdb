"""What a command says of an error: one line, with remedies that this very command accepts."""

from __future__ import annotations

import re

import pytest
from rich.markup import render

from lorafit.cli.command import Command
from lorafit.errors import (
    Advice,
    ChangeArgument,
    DropArgument,
    NotFoundError,
    RecipeError,
    Remedy,
    RunCommand,
    SetArgument,
    SetKey,
)
from tests.support.commands import COMMANDS, options


def remedies_for(names: set[str]) -> list[Remedy]:
    """Every kind of remedy, for every parameter that some command has and for one that none has."""
    made: list[Remedy] = [
        SetKey("train.micro_batch_size"),
        SetKey("model.base", "FOLDER"),
        SetKey("eval.batch_size"),
    ]
    for name in (*sorted(names), "of_no_command"):
        made += [
            SetArgument(name),
            SetArgument(name, True),
            SetArgument(name, 3),
            ChangeArgument(name),
            DropArgument(name),
        ]
    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_every_remedy_names_only_options_of_the_command(name: str) -> None:
    command = COMMANDS[name]
    assert isinstance(command, Command)
    for remedy in remedies_for({p.name for each in COMMANDS.values() for p in each.params}):
        text = command.explain(RecipeError("where: what", remedy))
        named = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))
        assert named <= options(name), text
        assert text.startswith("where: what")
        assert "`" not in text  # arguments of Python are put into options, or left out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_shown_as_it_is_written(name: str) -> None:
    """Words in brackets are markup to rich, and would be gone."""
    command = COMMANDS[name]
    for text in (command.help, *(getattr(param, "help", None) for param in command.params)):
        assert render(text or "").plain == (text or "")


@pytest.mark.parametrize(
    ("command", "remedy", "text"),
    [
        ("train", SetKey("train.batch_size", note="lower"), "use --set train.batch_size=… (lower)"),
        ("train", SetKey("data.on_bad_row", "skip"), "use --set data.on_bad_row=skip"),
        (
            "train",
            SetKey("train.gradient_checkpointing", False),
            "use --set train.gradient_checkpointing=false",
        ),
        ("train", ChangeArgument("output"), "choose another --output"),
        ("train", SetArgument("resume", "never"), "use --resume never"),
        ("train", SetArgument("extend", True), "use --extend epochs=N|max_steps=N"),
        ("merge", ChangeArgument("output"), "choose another OUTPUT"),
        ("merge", SetArgument("force", True), "use --force"),
        ("merge", SetArgument("dtype", "float32"), "use --dtype float32"),
        ("import", SetArgument("alpha"), "use --alpha …"),
        ("eval", SetKey("model.base", "FOLDER"), "use --base FOLDER"),
        ("eval", SetKey("eval.batch_size", note="lower"), "use --batch-size … (lower)"),
        ("eval", DropArgument("data"), "leave out --data"),
        ("eval", SetKey("train.batch_size"), ""),
        ("verify", SetArgument("force", True), ""),
        ("verify", Advice("train it again"), "train it again"),
        ("data verify", RunCommand("lorafit data fetch e2e"), "run `lorafit data fetch e2e`"),
    ],
)
def test_a_remedy_as_it_is_typed(command: str, remedy: Remedy, text: str) -> None:
    assert COMMANDS[command].advice(remedy) == text


def test_joined_errors_have_a_line_each() -> None:
    error = NotFoundError.joined(
        [NotFoundError("a: no such file", SetKey("data.train", "FILE")), NotFoundError("b: is empty")]
    )
    assert COMMANDS["train"].explain(error) == "a: no such file; use --set data.train=FILE\nb: is empty"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("trian", "e2e_gpt2m"), "Did you mean 'train'?"),
        (("data", "fetsh"), "Did you mean 'fetch'?"),
        (("train", "e2e_gpt2m", "--sede", "3"), "--seed"),
        (("eval", "adapter", "--bsae", "gpt2"), "--base"),
    ],
)
def test_a_misspelt_command_or_option_gets_a_hint(cli, arguments: tuple[str, ...], hint: str) -> None:
    assert hint in cli(*arguments, code=2).stderr
