"""docs/adding.md, carried out word for word in a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.conftest import ROOT
from tests.support.markdown import Block, blocks
from tests.support.tiny_encoders import save_encoder

PAGE = ROOT / "docs" / "adding.md"
CSV = "A task from a CSV"
# Heading -> the name of the new entry, and the contract tests that must find it in the registry.
ENTRIES = {
    "A preset": ("tickets", ("contract/test_tasks.py",)),
    "A metric": ("word_f1", ("metrics/test_metrics.py",)),
    "A method": ("norms", ("contract/test_methods.py",)),
    "An architecture": ("phi", ("contract/test_families.py", "contract/test_draws.py")),
    "A writer of a foreign adapter format": ("numpy", ("contract/test_formats.py",)),
    "A tracker": ("sheet", ("contract/test_trackers.py",)),
}


def put(root: Path, block: Block) -> None:
    """Do what a block of the page says: write a file, or change one."""
    if new := re.fullmatch(r"`(\S+)`:", block.before):
        path = root / new[1]
        assert not path.exists(), f"line {block.line}: {path} is there already"
        path.write_text(block.text, encoding="utf-8")
        return
    changed = re.fullmatch(r"In `(\S+)`, change:", block.before)
    assert changed, f"line {block.line}: a block of no known kind"
    path = root / changed[1]
    old, new_text = (
        "".join(f"{line[1:]}\n" for line in block.text.splitlines() if not line.startswith(sign))
        for sign in "+-"
    )
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"line {block.line}: {path} has no such lines"
    path.write_text(text.replace(old, new_text), encoding="utf-8")


@pytest.fixture(scope="module")
def contract_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, bool]]]:
    """Test file -> its tests that name a new entry, and whether each passed; all in one copy with all the changes."""
    root = tmp_path_factory.mktemp("copy")
    without_caches = shutil.ignore_patterns("__pycache__")
    for name in ("lorafit", "tests/contract", "tests/metrics", "tests/support"):
        shutil.copytree(ROOT / name, root / name, ignore=without_caches)
    for name in ("tests/conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    for block in blocks(PAGE):
        if block.heading in ENTRIES:
            put(root, block)
    files = [f"tests/{file}" for _, tests in ENTRIES.values() for file in tests]
    names = " or ".join(name for name, _ in ENTRIES.values())
    chosen = f"({names}) and not phi3"  # which is there already
    once = [
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "--assert=plain",
    ]  # rewriting asserts takes longer than they do
    options = [*once, "-k", chosen, "--junit-xml", "report.xml"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        check=False,
    )
    found: dict[str, list[tuple[str, bool]]] = {}
    for case in ET.parse(root / "report.xml").iter("testcase"):
        module = case.attrib["classname"].removeprefix("tests.").split(".Test")[0]
        file = f"{module.replace('.', '/')}.py"
        found.setdefault(file, []).append((case.attrib["name"], len(case) == 0))
    return found


@pytest.mark.parametrize("heading", ENTRIES)
def test_a_new_entry_passes_the_contract_tests(
    heading: str, contract_results: dict[str, list[tuple[str, bool]]]
) -> None:
    name, files = ENTRIES[heading]
    for file in files:
        passed = {test: ok for test, ok in contract_results[file] if name in test}
        assert len(passed) >= 3, f"{file} has no test of {name}"
        assert all(passed.values()), [test for test, ok in passed.items() if not ok]


def test_a_csv_needs_no_python(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = save_encoder(tmp_path / "base", "roberta")
    *files, command = [block for block in blocks(PAGE) if block.heading == CSV]
    for block in files:
        put(tmp_path, block)
    program, *arguments = shlex.split(command.text)
    assert program == "lorafit"
    cli(*arguments, "--set", f"model.base={base}")
    card = json.loads(Path("runs/topics/seed-0/adapter/adapter.json").read_text(encoding="utf-8"))
    assert card["task"]["labels"] == ["billing", "device"]


def test_every_block_is_carried_out() -> None:
    headings = {block.heading for block in blocks(PAGE)}
    assert headings == {CSV, *ENTRIES, "Afterwards"}  # the last one is held by tests/recipe/test_reference.py
