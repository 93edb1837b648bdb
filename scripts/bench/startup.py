"""How long until a command does something: whole processes, beside the bare imports of what they stand on.

    python scripts/bench/startup.py [--rounds 3] [--quickstart]

Medians of wall and CPU seconds, the rounds interleaved. `--quickstart` also times the whole of `lorafit train
quickstart`, once: training, decoding, scores and page. Nothing else should run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import recorded

LORAFIT = ("-m", "lorafit")
COMMANDS = {
    "python": ("-c", "pass"),
    "import torch": ("-c", "import torch"),
    "from transformers import GPT2LMHeadModel": ("-c", "from transformers import GPT2LMHeadModel"),
    "lorafit --version": (*LORAFIT, "--version"),
    "lorafit recipes": (*LORAFIT, "recipes"),
    "lorafit table 2": (*LORAFIT, "table", "2"),
    "lorafit train quickstart --dry-run": (*LORAFIT, "train", "quickstart", "--dry-run"),
}
WHOLE = "lorafit train quickstart"


def seconds(arguments: tuple[str, ...]) -> tuple[float, float]:
    """(wall, CPU) of one process, its children included."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - started, os.times()
    return wall, sum(after[2:4]) - sum(before[2:4])


def main() -> None:
    """Time each, and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quickstart", action="store_true")
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(options.rounds):
        for name, arguments in COMMANDS.items():
            found[name].append(seconds(arguments))
    if options.quickstart:
        with tempfile.TemporaryDirectory(prefix="lorafit-startup-") as folder:
            output = ("--output", str(Path(folder) / "run"))
            found[WHOLE] = [seconds((*LORAFIT, "train", "quickstart", *output))]
    print(f"{'':<42}{'wall s':>8}{'CPU s':>8}")
    for name, times in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:<42}{wall:>8.2f}{cpu:>8.2f}")


if __name__ == "__main__":
    recorded(main)
