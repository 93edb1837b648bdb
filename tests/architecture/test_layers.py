"""The shape of the program holds: registries complete, start-up light, imports pointing one way."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import lorafit.data.readers
import lorafit.methods
import lorafit.metrics
import lorafit.tasks
from lorafit.data.readers import READERS, Reader
from lorafit.methods import METHODS, Method
from lorafit.metrics import METRICS, Metric
from lorafit.metrics.external import External
from lorafit.metrics.function import FunctionMetric
from lorafit.tasks import TASKS, Task

ROOT = Path(__file__).resolve().parents[2]


def classes_in(package, base: type) -> set[type]:
    """Every concrete subclass of `base` that a module of the package defines."""
    found = set()
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(info.name)
        for _, value in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(value, base)
                and not inspect.isabstract(value)
                and value.__module__ == module.__name__
            ):
                found.add(value)
    return found


def test_every_method_is_registered_by_its_name() -> None:
    assert classes_in(lorafit.methods, Method) == set(METHODS.values())
    assert all(method.name == name for name, method in METHODS.items())


def test_every_metric_is_registered_by_its_name() -> None:
    assert classes_in(lorafit.metrics, Metric) - {External, FunctionMetric} == {
        type(metric) for metric in METRICS.values()
    }
    assert all(metric.name == name for name, metric in METRICS.items())


def test_every_task_is_registered_by_its_kind() -> None:
    assert classes_in(lorafit.tasks, Task) == set(TASKS.values())
    assert all(task.kind == kind for kind, task in TASKS.items())


def test_every_reader_is_registered_by_its_name() -> None:
    assert classes_in(lorafit.data.readers, Reader) == set(READERS.values())
    assert all(reader.name == name for name, reader in READERS.items())


def test_import_layers() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_package_has_a_layer() -> None:
    """A new package must be put into its row, or the layer contract would not see it."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = pyproject["tool"]["importlinter"]["contracts"][0]
    rows = {name.strip().removeprefix("lorafit.") for row in contract["layers"] for name in row.split(":")}
    modules = {info.name for info in pkgutil.iter_modules([str(ROOT / "lorafit")])}
    assert modules <= rows


def test_no_pickle_is_read_without_weights_only() -> None:
    for path in (ROOT / "lorafit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert keywords.get("weights_only") == "True", f"{path}:{node.lineno}"
