"""Every variant of LoRA on a GLUE task: score and speed, lorafit beside PEFT with Hugging Face's Trainer.

    python scripts/bench/variants.py --base MODEL_FOLDER --data GLUE_FOLDER [--epochs 2] [--seeds 0] [--only dora]

Each row is one of scripts/bench/glue.py, which says what both get: the score of the best epoch, and real tokens per
CPU-second of training.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from results import recorded

HERE = Path(__file__).resolve().parent
ALL = r".*encoder\.layer\..*(query|key|value|dense)"


class Variant(NamedTuple):
    """Keys of [method] and of PEFT's LoraConfig that mean the same, and LoRA+'s ratio."""

    method: dict[str, Any]
    peft: dict[str, Any]
    lora_plus_ratio: float | None = None


VARIANTS = {
    "lora": Variant({}, {}),
    "rslora": Variant({"scaling": "rslora"}, {"use_rslora": True}),
    "lora+": Variant({}, {}, 4.0),
    "patterns": Variant(
        {"r": {"layer.[0-2].*": 4, "default": 16}}, {"r": 16, "rank_pattern": {r"layer\.[0-2]\..*": 4}}
    ),
    "pissa": Variant({"init": "pissa"}, {"init_lora_weights": "pissa"}),
    "olora": Variant({"init": "olora"}, {"init_lora_weights": "olora"}),
    "dora": Variant({"dora": True}, {"use_dora": True}),
    "lora, all linear": Variant({"targets": ["all-linear"]}, {"target_modules": ALL}),
    "dora, all linear": Variant(
        {"targets": ["all-linear"], "dora": True}, {"target_modules": ALL, "use_dora": True}
    ),
}


def run(contender: str, variant: Variant, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One run in a process of its own, with one thread."""
    options = {
        "--base": args.base,
        "--data": args.data,
        "--task": args.task,
        "--epochs": args.epochs,
        "--learning-rate": args.learning_rate,
        "--method": json.dumps(variant.method),
        "--peft": json.dumps(variant.peft),
        "--contender": contender,
        "--seeds": seed,
    }
    if variant.lora_plus_ratio is not None:
        options["--lora-plus-ratio"] = variant.lora_plus_ratio
    command = [
        sys.executable,
        str(HERE / "glue.py"),
        *(str(part) for item in options.items() for part in item),
    ]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(HERE.parents[1]),
    }
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def row(name: str, results: dict[str, list[dict[str, Any]]]) -> str:
    """Means of scores, medians of speeds, and of their ratio seed by seed."""
    cells = [f"{name:<18}"]
    for runs in results.values():
        best = statistics.mean(max(epoch["accuracy"] for epoch in each["epochs"]) for each in runs)
        speed = statistics.median(each["tokens_per_s"] for each in runs)
        cells.append(f"{best:>10.4f}{speed:>10,.0f}")
    pairs = zip(results["lorafit"], results["peft"], strict=True)
    ratio = statistics.median(ours["tokens_per_s"] / theirs["tokens_per_s"] for ours, theirs in pairs)
    return "  ".join([*cells, f"{ratio:>6.2f}x"])


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", required=True, help="a local encoder in Hugging Face format")
    parser.add_argument("--data", required=True, help="the folder of the GLUE download")
    parser.add_argument("--task", default="mrpc")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--only", choices=VARIANTS, nargs="+", default=list(VARIANTS))
    args = parser.parse_args()
    print(f"{'':<18}  {'lorafit':>10}{'tokens/s':>10}  {'peft':>10}{'tokens/s':>10}  speed")
    for number, name in enumerate(args.only):
        results: dict[str, list[dict[str, Any]]] = {"lorafit": [], "peft": []}
        for seed in args.seeds:
            for contender in [*results][:: 1 if (number + seed) % 2 == 0 else -1]:
                results[contender].append(run(contender, VARIANTS[name], seed, args))
        print(row(name, results), flush=True)


if __name__ == "__main__":
    recorded(main)
