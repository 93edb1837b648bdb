"""Errors: where, what, remedies; and no message below the command line knows a flag."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import lorafit
from lorafit import errors
from lorafit.errors import (
    Advice,
    ChangeArgument,
    DataError,
    DropArgument,
    LorafitError,
    NotFoundError,
    RecipeError,
    RunCommand,
    SetArgument,
    SetKey,
    lookup,
)

PACKAGE = Path(lorafit.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z]")


def all_errors() -> set[type[LorafitError]]:
    """Every LorafitError that a module of the package defines."""
    for info in pkgutil.walk_packages(lorafit.__path__, "lorafit."):
        if not info.name.startswith("lorafit.__main__"):
            importlib.import_module(info.name)
    found, new = set[type[LorafitError]](), {LorafitError}
    while new:
        found |= new
        new = {kind for parent in new for kind in parent.__subclasses__()}
    return found


def test_an_error_has_where_what_and_remedies() -> None:
    error = RecipeError("runs/a: already exists", ChangeArgument("output"), Advice("delete it"))
    assert (error.where, error.what) == ("runs/a", "already exists")
    assert error.remedies == (ChangeArgument("output"), Advice("delete it"))
    assert str(error) == "runs/a: already exists; choose another `output`, or delete it"
    assert error.parts == (error,)
    plain = RecipeError("no table '7'")
    assert (plain.where, plain.what, plain.remedies, str(plain)) == ("", "no table '7'", (), "no table '7'")


@pytest.mark.parametrize(
    ("remedy", "text"),
    [
        (SetKey("train.learning_rate"), "set train.learning_rate"),
        (SetKey("train.batch_size", note="lower"), "set train.batch_size (lower)"),
        (SetKey("train.gradient_checkpointing", False), "set train.gradient_checkpointing=false"),
        (SetArgument("alpha"), "pass `alpha`"),
        (SetArgument("dtype", "float32"), "pass `dtype='float32'`"),
        (SetArgument("force", True, "at your own risk"), "pass `force=True` (at your own risk)"),
        (ChangeArgument("output"), "choose another `output`"),
        (DropArgument("data"), "leave out `data`"),
        (RunCommand("hf auth login"), "run `hf auth login`"),
    ],
)
def test_remedies_in_words(remedy: errors.Remedy, text: str) -> None:
    assert str(remedy) == text


def test_remedies_of_several_lines_have_a_line_of_their_own() -> None:
    error = DataError("a.csv:2: no label\na.csv:7: no label", SetKey("data.on_bad_row", "skip"))
    assert str(error).splitlines()[2:] == ["set data.on_bad_row=skip"]


def test_joined_errors_are_told_once_each_with_their_own_remedies() -> None:
    missing = NotFoundError("a: no such file", SetKey("data.train"))
    malformed = DataError("b: is empty")
    joined = NotFoundError.joined(
        [missing, malformed, NotFoundError("a: no such file", SetKey("data.train"))]
    )
    assert str(joined).splitlines() == ["a: no such file; set data.train", "b: is empty"]
    assert joined.parts == (missing, malformed)
    assert NotFoundError.joined([joined, malformed]).parts == joined.parts


def test_lookup_offers_the_nearest_name() -> None:
    with pytest.raises(
        RecipeError, match=r"^\[eval\]: no metric 'blue'; did you mean 'bleu'\? there are bleu, f1$"
    ):
        lookup({"bleu": 1, "f1": 2}, "blue", "metric", where="[eval]")


def test_the_drawn_tree_is_the_tree() -> None:
    drawn = re.findall(r"^([│├└─ ]*)(\w+Error) +(\d+)", errors.__doc__ or "", re.MULTILINE)
    assert {(name, len(indent) // 4, int(code)) for indent, name, code in drawn} == {
        (kind.__name__, len(kind.__mro__) - len(LorafitError.__mro__), kind.exit_code)
        for kind in all_errors()
    }


# Files that hold commands for a shell.
WITH_COMMANDS = {
    "page/settings.py",
    "paper/parallel.py",
    "recipe/reference.py",
    "interop/programs/llama_cpp.py",
    "interop/programs/vllm.py",
    "interop/writers/gguf.py",
    "interop/writers/loralib.py",
    "interop/writers/peft.py",
}


def texts(path: Path) -> list[tuple[str, str]]:
    """(place, text) of every literal that is used: no docstring, which is an expression of its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in alone]
    return [
        (f"{path.relative_to(PACKAGE)}:{node.lineno}", node.value)
        for node in used
        if isinstance(node.value, str)
    ]


def test_no_message_below_the_command_line_names_a_flag() -> None:
    below = [path for path in PACKAGE.rglob("*.py") if "cli" not in path.relative_to(PACKAGE).parts]
    found = [(place, text) for path in below for place, text in texts(path) if FLAG.search(text)]
    assert [place for place, _ in found if place.partition(":")[0] not in WITH_COMMANDS] == []
