"""Every message of docs/errors.md is tried: what is typed, the one clear line that answers, and nothing left behind."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from list_errors import CLASSES, Message

from tests.conftest import ROOT
from tests.messages.elsewhere import ELSEWHERE
from tests.messages.mistakes import Mistake
from tests.messages.online import stock
from tests.messages.told import catalogue, make, said_by
from tests.messages.workplace import furnish, workplace
from tests.support.hub import Hub, open_hub

pytestmark = pytest.mark.usefixtures("evaluate_cache")  # the one of the process

PYDANTIC = "pydantic"  # in whose words a fault is told, but for some
OF_ANY_KIND = (
    "LorafitError",
    "ValueError",
)  # as the catalogue calls a class that is an argument, and a bad row
TABLES = [
    importlib.import_module(f"tests.messages.table.{path.stem}")
    for path in sorted((Path(__file__).parent / "table").glob("*.py"))
]
MISTAKES = [
    pytest.param(module, mistake, id=f"{module}: {mistake.typed}"[:120])
    for table in TABLES
    for module, mistakes in table.MISTAKES.items()
    for mistake in mistakes
]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory, gpt2_base: Path) -> Path:
    return furnish(tmp_path_factory.mktemp("furnished"), gpt2_base)


@pytest.fixture(scope="module")
def hub(gpt2_base: Path) -> Iterator[Hub]:
    """One for all mistakes: transformers keeps the address of the first."""
    with open_hub() as server:
        stock(server, gpt2_base)
        yield server


def contents(folder: Path) -> set[tuple[Path, int]]:
    """Every path in a folder, and when a file was written; what lies behind links is not looked at."""
    found: set[tuple[Path, int]] = set()
    for root, folders, files in os.walk(folder):
        found |= {(Path(root, name), 0) for name in folders}
        found |= {(path := Path(root, name), path.stat().st_mtime_ns) for name in files}
    return found


def matches(wanted: str, told: str) -> bool:
    """Whether a line is the one that is wanted, where … stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, wanted.split("…"))), told) is not None


def tried() -> Iterator[tuple[str, str]]:
    """Module and text of every message that a line of the table says."""
    for table in TABLES:
        for module, mistakes in table.MISTAKES.items():
            lines = [line for mistake in mistakes for line in mistake.read.splitlines()]
            yield from ((module, message.text) for line in lines if (message := said_by(line, module)))


@pytest.mark.parametrize(("module", "mistake"), MISTAKES)
def test_a_mistake_is_answered_by_one_clear_line(
    module: str,
    mistake: Mistake,
    furnished: Path,
    hub: Hub,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = workplace(furnished, tmp_path, mistake)
    before = contents(folder)
    told = make(mistake, folder, hub, tmp_path_factory.mktemp("hub"))
    wanted = mistake.read.splitlines()
    assert len(told.lines) == len(wanted), "\n".join(told.lines)
    for one, other in zip(wanted, told.lines, strict=True):
        assert matches(one, other), f"\nwanted {one}\ntold   {other}"
    left = {path.relative_to(folder).parts[0] for path, _ in contents(folder) ^ before}
    assert left <= set(mistake.leaves), f"left behind or changed: {left}"
    said = [message for line in told.lines if (message := said_by(line, module))]
    assert said or module == PYDANTIC, f"no message of {module} in docs/errors.md"
    for message in said[:1]:
        check_origin(message, told.code, told.modules)


def check_origin(message: Message, code: int, modules: frozenset[str]) -> None:
    """The code that the catalogue names has said it, with the exit code of its class."""
    if message.error not in OF_ANY_KIND:
        assert code == CLASSES[message.error].exit_code
    if message.error != "ValueError":
        assert message.module.removeprefix("lorafit/") in modules


def test_every_message_is_tried_here_or_it_stands_where_it_is() -> None:
    found = set(tried())
    untried = {
        (module, message.text)
        for message in catalogue()
        if ((module := message.module.removeprefix("lorafit/")), message.text) not in found
    }
    elsewhere = {(module, text) for module, texts in ELSEWHERE.items() for text in texts}
    assert sorted(untried - elsewhere) == [], "neither in tests/messages/table nor in elsewhere.py"
    assert sorted(elsewhere - untried) == [], "in elsewhere.py, and tried in the table or no message any more"


@pytest.mark.parametrize(
    "where", sorted({w for texts in ELSEWHERE.values() for w in texts.values() if "::" in w})
)
def test_what_is_tried_elsewhere_is_tried_there(where: str) -> None:
    path, _, name = where.partition("::")
    assert re.search(rf"^ *def {re.escape(name)}\(", (ROOT / path).read_text(), re.MULTILINE), where
