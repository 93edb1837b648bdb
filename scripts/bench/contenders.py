"""What benches of lorafit beside PEFT share: a process for each run, and the options of a variant of LoRA."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def start_alone(contender: str, seed: int, *options: str) -> subprocess.Popen[str]:
    """This script for one run, in a process of its own with one thread."""
    command = [sys.executable, *sys.argv, "--contender", contender, "--seeds", str(seed), *options]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it measured: the JSON in its last line."""
    written, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args!r} failed with {process.returncode}")
    return dict(json.loads(written.splitlines()[-1]))


def add_variant_arguments(parser: argparse.ArgumentParser) -> None:
    """The same variant for both, and the results as JSON."""
    parser.add_argument("--method", type=json.loads, default={}, help="further keys of [method], as JSON")
    parser.add_argument("--peft", type=json.loads, default={}, help="further keys of LoraConfig, as JSON")
    parser.add_argument("--lora-plus-ratio", type=float)
    parser.add_argument("--json", action="store_true", help="print all that was measured, and nothing else")


def lora_plus_optimizer(model: Any, learning_rate: float, ratio: float | None) -> Any:
    """PEFT's own for LoRA+; None, which leaves the choice to the Trainer, without a ratio."""
    if ratio is None:
        return None
    import torch
    from peft.optimizers import create_loraplus_optimizer

    return create_loraplus_optimizer(model, torch.optim.AdamW, lr=learning_rate, loraplus_lr_ratio=ratio)
