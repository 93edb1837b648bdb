"""What somebody reads who makes a mistake, and which code says it."""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from list_errors import Message, messages

from lorafit.data.sources import Missing
from lorafit.errors import LorafitError
from tests.conftest import ROOT
from tests.messages.mistakes import Mistake
from tests.support.adapter_fixtures import run_here
from tests.support.hub import Hub, use_hub

_VARIABLE = re.compile(r"([A-Z_]+)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Told:
    """The exit code, the lines, and the modules below lorafit/ that made an error."""

    code: int
    lines: Sequence[str]
    modules: frozenset[str]


def make(mistake: Mistake, folder: Path, hub: Hub, cache: Path) -> Told:
    """Make a mistake in a workplace, in this process; `cache` is that of the hub, where it is within reach."""
    made: set[str] = set()

    def noticed(initialize: Callable[..., None]) -> Callable[..., None]:
        def noticing(self: object, *arguments: Any) -> None:
            made.add(sys._getframe(1).f_code.co_filename)
            initialize(self, *arguments)

        return noticing

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        if mistake.online:
            use_hub(hub, cache, patch)
        patch.setattr(LorafitError, "__init__", noticed(LorafitError.__init__))
        patch.setattr(Missing, "__init__", noticed(Missing.__init__))
        code, lines = _python(mistake) if mistake.typed.startswith(">>> ") else _command(mistake, patch)
    inside = [Path(each) for each in made if each.startswith(str(ROOT))]
    return Told(code, lines, frozenset(path.relative_to(ROOT / "lorafit").as_posix() for path in inside))


def _python(mistake: Mistake) -> tuple[int, Sequence[str]]:
    import torch

    import lorafit
    from lorafit import lora

    code = textwrap.dedent(mistake.typed.removeprefix(">>> "))
    try:
        exec(code, {"lorafit": lorafit, "lora": lora, "torch": torch, "nn": torch.nn, "Path": Path})
    except LorafitError as error:
        return error.exit_code, str(error).splitlines()
    return 0, []


def _command(mistake: Mistake, patch: pytest.MonkeyPatch) -> tuple[int, Sequence[str]]:
    words = shlex.split(mistake.typed)
    while found := _VARIABLE.fullmatch(words[0]):
        patch.setenv(*found.groups())
        del words[0]
    done = run_here(patch, words)
    lines = done.err.splitlines()
    strange = [line for line in lines if not line.startswith("error: ")]
    assert not strange, done.err
    if done.code and not lines:  # a verdict, which is the result
        lines = done.out.splitlines()[:1]
    return done.code, [line.removeprefix("error: ") for line in lines]


@cache
def catalogue() -> tuple[Message, ...]:
    """Every message in the code."""
    return tuple(messages())


def said_by(line: str, module: str = "") -> Message | None:
    """The message that a line says, of one module or of all: the one with the most words of its own."""
    return max(
        (m for m in catalogue() if m.module.endswith(module) and m.pattern.search(line)),
        key=lambda message: len(message.text),
        default=None,
    )
