"""What a bench prints, kept: with `--write` it becomes the section of RESULTS.md for that command on such a machine.

A section says the command, the day, the machine and the versions; written again it takes the place of the old one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.metadata
import io
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from typing_extensions import override

RESULTS = Path(__file__).with_name("RESULTS.md")
TITLE = "# Measured\n\nEvery section is the output of a script in this folder, run with `--write`.\n"
_PACKAGES = ("torch", "transformers", "peft", "trl", "loralib", "bitsandbytes")


class _Both(io.TextIOBase):
    """Writes to the screen, and keeps it."""

    def __init__(self, screen: TextIO) -> None:
        self.screen, self.kept = screen, ""

    @override
    def write(self, text: str) -> int:
        self.kept += text
        return self.screen.write(text)

    @override
    def flush(self) -> None:
        self.screen.flush()


def recorded(main: Callable[[], None]) -> None:
    """Run it; with `--write` among the arguments, which it does not see, keep what it prints."""
    if "--write" not in sys.argv:
        main()
        return
    sys.argv.remove("--write")
    command = shown_command(sys.argv)
    with contextlib.redirect_stdout(_Both(sys.stdout)) as both:
        main()
    section = f"## `{command}`\n\n{circumstances()}\n\n```text\n{both.kept.strip(chr(10))}\n```\n"
    before = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else TITLE
    scratch = RESULTS.with_suffix(".part")
    scratch.write_text(replaced(before, section), encoding="utf-8")
    scratch.replace(RESULTS)


def replaced(document: str, section: str) -> str:
    """The document with the section in place of the command's old one of the same machine, else behind those of others,
    else at its end."""
    title, *sections = (each.rstrip("\n") for each in document.split("\n## "))
    new = section.removeprefix("## ").rstrip("\n")
    same = [i for i, each in enumerate(sections) if _command(each) == _command(new)]
    old = [i for i in same if _machine_of(sections[i]) == _machine_of(new)]
    place = old[0] if old else same[-1] + 1 if same else len(sections)
    sections[place : place + len(old)] = [new]
    return "\n\n## ".join([title, *sections]) + "\n"


def _command(section: str) -> str:
    return section.partition("\n")[0]


def _machine_of(section: str) -> str:
    """From its line of day, machine and versions."""
    return section.split("; ", 2)[1]


def shown_command(argv: list[str]) -> str:
    """The command without the folders in which files lie here."""
    words = [Path(word).name if os.sep in word and Path(word).exists() else word for word in argv]
    return shlex.join(["python", f"scripts/bench/{words[0]}", *words[1:]])


def circumstances() -> str:
    """Day, machine and versions in a line."""
    packages = []
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages.append(f"{name} {importlib.metadata.version(name)}")
    versions = ", ".join([f"Python {platform.python_version()}", *packages, f"commit {_commit()}"])
    return f"{dt.date.today()}; {machine()}; {versions}."


def machine() -> str:
    """Processor with what of it matters, memory, and the GPU where there is one."""
    import torch

    able = torch.cpu.get_capabilities()
    formats = [name for name in ("amx_bf16", "avx512_bf16", "avx512_f", "avx2") if able.get(name)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = able.get("cpu_name") or platform.processor()
    parts = [f"{name}, {os.cpu_count()} cores ({', '.join(formats[:2])})", f"{memory:.0f} GiB"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
