"""Every message that names an option, an argument, a key or a command names one that there is."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorafit import errors
from lorafit.methods import METHODS
from lorafit.recipe import Recipe, Section
from lorafit.run.events import Note
from lorafit.tasks import TASKS
from tests.conftest import ROOT
from tests.support.commands import COMMANDS, options

CLI = ROOT / "lorafit" / "cli"
FILES = sorted((ROOT / "lorafit").rglob("*.py"))
ARGUMENTS = ("SetArgument", "ChangeArgument", "DropArgument")
SPOKEN = {name for name, kind in vars(errors).items() if inspect.isclass(kind)} | {Note.__name__}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
COMMAND = re.compile(r"(?<![\w./])lorafit ([a-z]+(?: [a-z]+)?)([^`\n]*)")
OTHERS = {
    "hf auth login",
    "hf upload … …",
    "pip install 'lorafit[gguf]'",
    "pip install 'lorafit[quantize]'",
    "wandb login",
}  # programs of others that a remedy may name


def text_of(node: ast.AST) -> str | None:
    """A string, or an f-string with an ellipsis for every value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "…" for part in node.values)
    return None


def name_of(call: ast.Call) -> str:
    """What is called: the last part of its name."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.expr) and (text := text_of(node)):
            yield node.lineno, text


def remedies(kinds: tuple[str, ...], files: list[Path] = FILES) -> Iterator[tuple[str, str]]:
    """(place, first argument) of every remedy whose first argument is written out."""
    for path in files:
        for call in calls(path):
            if name_of(call) in kinds and (text := text_of(call.args[0])) is not None:
                yield f"{path.relative_to(ROOT)}:{call.lineno}", text


def parameters(name: str) -> set[str]:
    return {parameter.name for parameter in COMMANDS[name].params}


def keys() -> set[str]:
    """Every section.key of a recipe."""
    found = set()
    for section, field in Recipe.model_fields.items():
        named: dict[str, list[Any]] = {"method": [*METHODS.values()], "task": [*TASKS.values()]}
        for kind in named.get(section, [field.annotation]):
            if isinstance(kind, type) and issubclass(kind, Section):
                found |= {f"{section}.{key}" for key in kind.model_fields}
    return found


def commands_of(verb: str) -> list[str]:
    """The commands that carry out a verb, by what their functions import."""
    wanted = re.compile(rf"from lorafit\.verbs(?: import {verb}\b|\.{verb} import)")
    return [
        name
        for name, command in COMMANDS.items()
        if wanted.search(inspect.getsource(inspect.unwrap(command.callback)))
    ]


def test_every_argument_of_a_remedy_is_one_of_a_command() -> None:
    every = set().union(*map(parameters, COMMANDS))
    found = list(remedies(ARGUMENTS))
    assert len(found) > 20
    assert [(where, name) for where, name in found if name not in every] == []


@pytest.mark.parametrize("path", sorted((ROOT / "lorafit" / "verbs").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_a_verb_advises_what_its_command_has(path: Path) -> None:
    found = list(remedies(ARGUMENTS, [path]))
    names = commands_of(path.stem)
    assert names, f"no command imports {path.stem}"
    for where, argument in found:
        assert any(argument in parameters(name) for name in names), (where, argument, names)


def test_every_key_of_a_remedy_is_one_of_a_recipe() -> None:
    known = keys()
    found = list(remedies(("SetKey",)))
    assert len(found) > 20
    splits = {f"data.{split}" for split in ("train", "valid", "test")}
    strange = {where: key for where, key in found if key not in known}
    assert {where: key for where, key in strange.items() if key != "data.…" or not splits <= known} == {}


def test_every_command_that_is_named_exists_with_its_options() -> None:
    groups = {name.partition(" ")[0] for name in COMMANDS if " " in name}
    for path in FILES:
        for line, text in texts(path):
            for words, rest in COMMAND.findall(text):
                where = f"{path.relative_to(ROOT)}:{line}: {words}"
                first, _, second = words.partition(" ")
                name = words if words in COMMANDS else first
                if first in groups:
                    assert words in COMMANDS or not second or f"`lorafit {words}" not in text, where
                    continue
                if name not in COMMANDS:
                    assert f"`lorafit {first}" not in text, where
                    continue
                assert set(OPTION.findall(rest)) <= options(name) | {"--help"}, where


def test_a_remedy_runs_a_command_that_there_is() -> None:
    for where, text in remedies(("RunCommand",)):
        words = text.split()
        is_ours = words[0] == "lorafit" and (words[1] in COMMANDS or " ".join(words[1:3]) in COMMANDS)
        assert is_ours or text in OTHERS, (where, text)


def test_messages_name_options_in_the_command_line_alone() -> None:
    """Elsewhere a remedy is data, which every command renders for itself."""
    faults = []
    for path in FILES:
        for call in calls(path) if not path.is_relative_to(CLI) else ():
            if name_of(call) in SPOKEN:
                texts = [text for node in ast.walk(call) if (text := text_of(node))]
                faults += [f"{path}:{call.lineno}: {text}" for text in texts if OPTION.search(text)]
    assert faults == []


def test_a_command_names_its_own_options() -> None:
    """What a module of the command line writes out, such as "--seeds", its commands have."""
    by_module: dict[str, set[str]] = {}
    for name, command in COMMANDS.items():
        module = inspect.unwrap(command.callback).__module__.rpartition(".")[2]
        by_module.setdefault(module, set()).update(options(name))
    every = set().union(*by_module.values())
    for path in sorted(CLI.rglob("*.py")):
        own = by_module.get(path.stem, every)
        docstrings = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        }
        for line, text in texts(path):
            if text not in docstrings:
                named = set(OPTION.findall(text)) - {"--help", "--version"}
                assert named <= own, f"{path.name}:{line}: {text}"
