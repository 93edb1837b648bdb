"""Every message that a user can be told, found in the code: `python scripts/list_errors.py > docs/errors.md`."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from lorafit import errors
from lorafit.errors import (
    Advice,
    ChangeArgument,
    DropArgument,
    LorafitError,
    Remedy,
    RunCommand,
    SetArgument,
    SetKey,
)

ROOT = Path(__file__).resolve().parents[1]
GAP = "…"
_MOST_FORMS = 16  # of one message
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, LorafitError)
}
REMEDIES: Mapping[str, Callable[..., Remedy]] = {
    kind.__name__: kind for kind in (SetKey, SetArgument, ChangeArgument, DropArgument, RunCommand, Advice)
}
WORDED = ("_message", "_fault_of", "json_fault", "fault_of_language")  # functions whose answer is a message
IN_ROWS_AND_KEYS = (
    "data",
    "tasks",
    "recipe",
    "methods",
    "metrics",
)  # whose ValueErrors get a place put before them

HEAD = f"""# Errors, one by one

`python scripts/list_errors.py > docs/errors.md` makes this page from the code.

An error is one line, or one for each fault: `error: WHERE: WHAT; CURE`. WHERE is the file, the line, the key or the
option at fault; the cure names only options that the command at hand has. `--debug` adds the traceback, and in Python
the same error has `where`, `what` and `remedies`. Below, {GAP} stands for names and numbers, and a cure is written as
Python says it: `pass force=True` is `--force` on the command line, `set train.batch_size` is
`--set train.batch_size={GAP}`. Where no cure stands, WHAT says what must be otherwise.

| exit code | error | what it means |
|---|---|---|
"""


Function = ast.FunctionDef | None


@dataclass(frozen=True)
class Message:
    """A message in the code, with {GAP} for what is put in, and its cures; `error` is the class that carries it."""

    error: str
    text: str
    cures: tuple[str, ...]
    module: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a line looks like that says it."""
        parts = [re.escape(part) for part in self.text.split(GAP)]
        return re.compile("[^\\n]*".join(parts).replace("\\\n", "\\n"))

    @property
    def is_told(self) -> bool:
        """Whether it has words of its own: a message that is handed on has none."""
        return len(re.findall(r"[A-Za-z]{2,}", self.text)) > 1


def messages(package: Path = ROOT / "lorafit") -> list[Message]:
    """Every message of a package, by module and as they stand there; equal ones once."""
    found: dict[Message, None] = {}
    for path in sorted(package.rglob("*.py")):
        module = path.relative_to(package.parent).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node, function in _nodes(tree):
            for message in _of_node(node, function, module):
                found.setdefault(message)
    told = [message for message in found if message.is_told]
    raised = {(message.module, message.text) for message in told if message.error != "ValueError"}
    return [m for m in told if m.error != "ValueError" or (m.module, m.text) not in raised]


def _nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, Function]]:
    """Everything in a module, in its order, each with the innermost function that it stands in."""
    waiting: list[tuple[ast.AST, Function]] = [(tree, None)]
    while waiting:
        node, function = waiting.pop()
        yield node, function
        inside = node if isinstance(node, ast.FunctionDef) else function
        waiting += reversed([(child, inside) for child in ast.iter_child_nodes(node)])


def _of_node(node: ast.AST, function: Function, module: str) -> Iterator[Message]:
    """The messages that a call makes, or a function whose answer is one."""
    match node:
        case (
            ast.Assign(targets=[ast.Name(id="fault")], value=text)
            | ast.Call(func=ast.Name(id="RawRow"), args=[_, _, text])
        ):
            kind, found = _error_of("ValueError", module), []
        case ast.Call(func=ast.Name(id=name), args=[text, *cures]):
            kind = _error_of(_called(name, function), module)
            flat = [part for each in cures for part in (each.elts if isinstance(each, ast.Tuple) else [each])]
            found = [cure for each in flat if (cure := _cure(each))]
        case ast.Call(func=ast.Attribute(value=ast.Name(id="faults"), attr="append"), args=[fault]):
            text = fault.elts[-1] if isinstance(fault, ast.Tuple) and fault.elts else fault
            kind, found = "" if isinstance(text, ast.Call) else _error_of("ValueError", module), []
        case ast.Return(value=text) if text is not None and function is not None and function.name in WORDED:
            kind, found = _error_of("ValueError", module), []
        case _:
            return
    if kind:
        for words in _texts(text, function):
            yield Message(kind, words, tuple(found), module)


def _called(name: str, function: Function) -> str:
    """The name of a class; where it is one of two, the first."""
    for node in () if name in CLASSES else _assignments(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=ast.IfExp(body=ast.Name(id=first))) if (
                target == name
            ):
                return first
    return name


@cache
def _assignments(function: Function) -> Sequence[ast.Assign]:
    """Those in a function."""
    return [node for node in (ast.walk(function) if function else ()) if isinstance(node, ast.Assign)]


def _error_of(name: str, module: str) -> str:
    """The class that a message is told by, under which it is listed; "" for what is no message of ours."""
    if name in CLASSES:
        return name
    if name == "Missing":  # rows that are not there, which is said when they are asked for
        return "NotFoundError"
    if name in ("error", "fault"):  # the class is an argument
        return "LorafitError"
    return name if name == "ValueError" and module.split("/")[1] in IN_ROWS_AND_KEYS else ""


def _texts(node: ast.expr, function: Function) -> list[str]:
    """The forms that an expression for a text may have."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            forms = [_texts(each, function) for each in values]
            joined = map("".join, itertools.islice(itertools.product(*forms), _MOST_FORMS))
            return [re.sub(f"{GAP}+", GAP, text) for text in joined]
        case ast.FormattedValue(value=ast.Name(id=name)):
            return _assigned(name, function)
        case ast.IfExp(body=body, orelse=orelse):
            return [*_texts(body, function), *_texts(orelse, function)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [a + b for a in _texts(left, function) for b in _texts(right, function)]
        case ast.Name(id=name):
            return _assigned(name, function)
        case _:
            return [GAP]


def _assigned(name: str, function: Function) -> list[str]:
    """What a local name may hold: the texts that the same function gives it."""
    values = [
        node.value
        for node in _assignments(function)
        if any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    ]
    plain = [value for value in values if not isinstance(value, ast.Name)]
    return [text for value in plain for text in _texts(value, function)] or [GAP]


def _cure(node: ast.expr) -> str:
    """A remedy in words, as far as it stands in the code."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in REMEDIES:
            values = [_value(each) for each in args]
            named = {each.arg: _value(each.value) for each in keywords if each.arg}
            remedy: Remedy = REMEDIES[name](*values, **named)
            return str(remedy)
        case ast.Name(id="RUN_AGAIN"):
            return str(errors.RUN_AGAIN)
        case _:
            return ""


def _value(node: ast.expr) -> str | int | float | bool:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.JoinedStr(values=values):
            return "".join(str(v.value) if isinstance(v, ast.Constant) else GAP for v in values)
        case _:
            return GAP


def page(found: Sequence[Message]) -> str:
    """The Markdown page."""
    lines = [HEAD.rstrip("\n")]
    for name, kind in CLASSES.items():
        lines.append(f"| {kind.exit_code} | `{name}` | {' '.join((kind.__doc__ or '').split())} |")
    titles = {name: f"`{name}`" for name in CLASSES} | {"ValueError": "Faults of a row or a key"}
    for name, title in titles.items():
        own = [message for message in found if message.error == name]
        if not own:
            continue
        lines += ["", f"## {title}", ""]
        if name == "ValueError":
            lines += [
                "They are told with the place before them: the file and line of the row, or the key.",
                "",
            ]
        lines += ["| message | cure | from |", "|---|---|---|"]
        lines += [f"| {_cell(m.text)} | {_cell(', or '.join(m.cures))} | {m.module} |" for m in own]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    print(page(messages()), end="")
