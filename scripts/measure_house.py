"""What the house is made of: types that say nothing, questions of type, silenced checks, sizes. Today against the aim.

    python scripts/measure_house.py [--verbose] [--json] [--check]

Everything is counted in lorafit/, from the syntax tree. A code line is not blank, no comment, and in no docstring.
`--verbose` names the places; `--check` exits with 1 where an aim is missed.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grimp

ROOT = Path(__file__).resolve().parents[1]
PLUG_INS = {"Method", "Metric", "Task", "Objective", "Family", "Reader", "Writer", "ModelWriter", "Change"}


class File(NamedTuple):
    """A module."""

    path: Path
    source: str
    tree: ast.Module


class Measure(NamedTuple):
    """One line of the table: `places` are where the counted things stand."""

    name: str
    aim: int
    today: int
    places: list[str]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("verbose", "json", "check"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    measures = measure_all()
    if options.json:
        print(json.dumps({m.name: {"today": m.today, "aim": m.aim} for m in measures}, indent=2))
    else:
        print(f"{'':<44} {'today':>6} {'aim':>6}")
        for m in measures:
            print(f"{m.name:<44} {m.today:>6} {m.aim:>6}{'' if m.today <= m.aim else '  missed'}")
            print("".join(f"    {place}\n" for place in m.places if options.verbose), end="")
    if options.check and any(m.today > m.aim for m in measures):
        sys.exit(1)


def measure_all() -> list[Measure]:
    """Every measure of the package, in the order of the table."""
    paths = sorted((ROOT / "lorafit").rglob("*.py"))
    files = [File(path, text, ast.parse(text)) for path in paths for text in [path.read_text("utf-8")]]
    plug_ins = plug_in_classes(files)
    functions = sorted((length, place) for file in files for length, place in function_lengths(file))
    code = sorted((num_code_lines(file), str(file.path.relative_to(ROOT))) for file in files)
    folders = [path.parent.relative_to(ROOT) for path in paths if path.name != "__init__.py"]
    fullest = max(folders, key=folders.count)
    return [
        counted("Any and cast(", 120, [p for file in files for p in vague_types(file)]),
        counted(
            "isinstance on our own plug-in classes",
            0,
            [p for f in files for p in type_questions(f, plug_ins)],
        ),
        counted(
            "assert", 10, [place(f, n) for f in files for n in ast.walk(f.tree) if isinstance(n, ast.Assert)]
        ),
        counted("noqa, per-file ignores among them", 8, [*matches(files, r"#\s*noqa"), *per_file_ignores()]),
        counted("type-ignore", 8, list(matches(files, r"#\s*type:\s*ignore"))),
        counted("import cycles", 0, list(import_cycles())),
        Measure("longest function outside Typer signatures", 60, functions[-1][0], worst(functions)),
        Measure("most files in a folder of code", 18, folders.count(fullest), [str(fullest)]),
        Measure("code lines", 14_500, sum(count for count, _ in code), worst(code)),
    ]


def counted(name: str, aim: int, places: list[str]) -> Measure:
    """A measure that counts places."""
    return Measure(name, aim, len(places), places)


def worst(sizes: list[tuple[int, str]]) -> list[str]:
    """The greatest sizes, and where they are."""
    return [f"{where}: {size}" for size, where in reversed(sizes[-20:])]


def place(file: File, node: ast.AST) -> str:
    """Where a node stands."""
    return f"{file.path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def vague_types(file: File) -> Iterator[str]:
    """Each Any, those of `**kwargs` and of autograd functions aside, and each call of cast."""
    left_out: set[int] = set()
    for node in ast.walk(file.tree):
        kwargs = node.kwarg if isinstance(node, ast.arguments) else None
        autograd = isinstance(node, ast.ClassDef) and any("Function" in ast.unparse(b) for b in node.bases)
        for part in (kwargs, node if autograd else None):
            left_out.update(id(child) for child in ast.walk(part) if part) if part else None
    for node in ast.walk(file.tree):
        is_any = isinstance(node, ast.Name) and node.id == "Any" and id(node) not in left_out
        if is_any or (isinstance(node, ast.Call) and ast.unparse(node.func) in ("cast", "typing.cast")):
            yield place(file, node)


def plug_in_classes(files: list[File]) -> set[str]:
    """The names of all classes below the plug-ins' base classes."""
    classes = [node for file in files for node in ast.walk(file.tree) if isinstance(node, ast.ClassDef)]
    bases = [
        (node.name, {re.split(r"[\[.]", ast.unparse(base))[0] for base in node.bases}) for node in classes
    ]
    found = set(PLUG_INS)
    while more := {name for name, above in bases if above & found} - found:
        found |= more
    return found


def type_questions(file: File, plug_ins: set[str]) -> Iterator[str]:
    """Each isinstance(…, one of the plug-in classes)."""
    for node in ast.walk(file.tree):
        match node:
            case ast.Call(func=ast.Name("isinstance"), args=[_, classes]):
                asked = {child.id for child in ast.walk(classes) if isinstance(child, ast.Name)}
                yield from (place(file, node) for _ in asked & plug_ins)


def matches(files: list[File], pattern: str) -> Iterator[str]:
    """Each line with a comment that silences a check."""
    for file in files:
        for number, line in enumerate(file.source.splitlines(), start=1):
            if re.search(pattern, line):
                yield f"{file.path.relative_to(ROOT)}:{number}"


def per_file_ignores() -> Iterator[str]:
    """Each rule of ruff that pyproject.toml silences for files of the package."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for glob, rules in pyproject["tool"]["ruff"]["lint"].get("per-file-ignores", {}).items():
        yield from (f"pyproject.toml {glob} {rule}" for rule in rules if not glob.startswith("tests"))


def import_cycles() -> Iterator[str]:
    """Each import that closes a circle of modules; imports inside functions count."""
    graph = grimp.build_graph("lorafit")
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> Iterator[str]:
        if module in path:
            yield " -> ".join((*path[path.index(module) :], module))
        elif module not in finished:
            for imported in sorted(graph.find_modules_directly_imported_by(module)):
                yield from visit(imported, (*path, module))
            finished.add(module)

    for module in sorted(graph.modules):
        yield from visit(module, ())


def function_lengths(file: File) -> Iterator[tuple[int, str]]:
    """Lines of each function; of a command, without its signature."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef):
            start = node.body[0].lineno if "cli" in file.path.parts else node.lineno
            yield (node.end_lineno or start) - start + 1, f"{place(file, node)} {node.name}"


def num_code_lines(file: File) -> int:
    """Lines without blanks, comments and docstrings."""
    documented = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    described: set[int] = set()
    for node in ast.walk(file.tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            described.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate((line.strip() for line in file.source.splitlines()), start=1)
    return sum(1 for number, line in lines if line and line[0] != "#" and number not in described)


if __name__ == "__main__":
    main()
