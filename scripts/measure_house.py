"""What the house is made of: types that say nothing, questions of type, silenced checks, sizes. Today against the aim.

    python scripts/measure_house.py [--verbose] [--json] [--check]

Everything is counted in lorafit/, from the syntax tree. Code lines are those that hold a token that is no comment, no
docstring and no string standing alone. `--verbose` names the places; `--check` exits with 1 where an aim is missed.
"""

from __future__ import annotations

import argparse
import ast
import graphlib
import io
import json
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lorafit"
PLUG_INS = {"Method", "Metric", "Task", "Objective", "Family", "Reader", "Writer", "ModelWriter", "Change"}
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


@dataclass
class Measure:
    """One line of the table; `places` are where the counted things stand."""

    name: str
    aim: int
    value: int = 0
    places: list[str] = field(default_factory=list)

    def add(self, place: str, count: int = 1) -> None:
        """Count something."""
        self.value += count
        self.places.append(place)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("verbose", "json", "check"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    measures = measure(PACKAGE)
    if options.json:
        print(json.dumps({m.name: {"today": m.value, "aim": m.aim} for m in measures}, indent=2))
    else:
        print(f"{'':<44} {'today':>6} {'aim':>6}")
        for m in measures:
            print(f"{m.name:<44} {m.value:>6} {m.aim:>6}{'' if m.value <= m.aim else '  missed'}")
            if options.verbose:
                print("".join(f"    {place}\n" for place in m.places), end="")
    if options.check and any(m.value > m.aim for m in measures):
        sys.exit(1)


def measure(package: Path) -> list[Measure]:
    """Every measure of a package."""
    vague = Measure("Any and cast(", 120)
    questions = Measure("isinstance on our own plug-in classes", 0)
    asserts = Measure("assert", 10)
    noqa = Measure("noqa, per-file ignores among them", 8)
    ignored = Measure("type-ignore", 8)
    longest = Measure("longest function outside Typer signatures", 60)
    lines = Measure("code lines", 14_500)
    names = _plug_in_classes(package)
    for path in sorted(package.rglob("*.py")):
        source, where = path.read_text(encoding="utf-8"), str(path.relative_to(package.parent))
        tree = ast.parse(source)
        for line in _vague(tree):
            vague.add(f"{where}:{line}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert):
                asserts.add(f"{where}:{node.lineno}")
            if _asks_for(node, names):
                questions.add(f"{where}:{getattr(node, 'lineno', 0)}")
        for number, text in enumerate(source.splitlines(), start=1):
            for m, pattern in ((noqa, r"#\s*noqa"), (ignored, r"#\s*type:\s*ignore")):
                for _ in re.findall(pattern, text):
                    m.add(f"{where}:{number}")
        for length, name in _functions(tree, in_cli="cli" in path.parts):
            if length > longest.value:
                longest.value, longest.places = length, [f"{where}:{name}"]
        count = num_code_lines(source)
        lines.add(f"{where}: {count}", count)
    for glob, rules in _per_file_ignores().items():
        noqa.add(f"pyproject.toml {glob}", len(rules))
    return [vague, questions, asserts, noqa, ignored, _cycles(), longest, _largest_folder(package), lines]


def num_code_lines(source: str) -> int:
    """Lines with code on them."""
    occupied: set[int] = set()
    at_start = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.STRING and at_start:  # a string that is a statement of its own
            continue
        if token.type in LAYOUT:
            at_start = at_start or token.type != tokenize.COMMENT
            continue
        at_start = False
        occupied.update(range(token.start[0], token.end[0] + 1))
    return len(occupied)


def _vague(tree: ast.AST) -> Iterator[int]:
    """Any in annotations (those of *args, **kwargs and autograd functions aside), and calls of cast."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            for arg in (node.vararg, node.kwarg):
                left_out.update(id(child) for child in ast.walk(arg) if arg) if arg else None
        if isinstance(node, ast.ClassDef) and any("Function" in ast.unparse(base) for base in node.bases):
            left_out.update(id(child) for child in ast.walk(node))
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Name) and node.id == "Any":
            yield node.lineno
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("cast", "typing.cast"):
            yield node.lineno


def _plug_in_classes(package: Path) -> set[str]:
    """The names of all classes below the plug-ins' base classes."""
    bases: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                named = {re.split(r"[\[.]", ast.unparse(base))[0] for base in node.bases}
                bases.setdefault(node.name, set()).update(named)
    found = set(PLUG_INS)
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def _asks_for(node: ast.AST, names: set[str]) -> bool:
    """Whether a node is isinstance(…, one of the plug-in classes)."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance"):
        return False
    asked = {child.id for child in ast.walk(node.args[1]) if isinstance(child, ast.Name)}
    return bool(asked & names)


def _functions(tree: ast.AST, *, in_cli: bool) -> Iterator[tuple[int, str]]:
    """Length and name of each function; of a command, without its signature."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            start = node.body[0].lineno if in_cli else node.lineno
            yield (node.end_lineno or start) - start + 1, node.name


def _per_file_ignores() -> dict[str, list[str]]:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    ignores: dict[str, list[str]] = pyproject["tool"]["ruff"]["lint"].get("per-file-ignores", {})
    return {glob: rules for glob, rules in ignores.items() if not glob.startswith("tests")}


def _cycles() -> Measure:
    """Modules that import each other in a circle, imports inside functions included; one circle is named."""
    import grimp

    found = Measure("import cycles", 0)
    graph = grimp.build_graph("lorafit")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        found.add(" -> ".join(error.args[1]))
    return found


def _largest_folder(package: Path) -> Measure:
    """Files of code in the fullest folder, registries (`__init__.py`) aside."""
    found = Measure("most files in a folder of code", 18)
    for folder in (package, *(p for p in package.rglob("*") if p.is_dir())):
        count = sum(1 for path in folder.glob("*.py") if path.name != "__init__.py")
        if count > found.value:
            found.value, found.places = count, [str(folder.relative_to(package.parent))]
    return found


if __name__ == "__main__":
    main()
