"""Every variant of LoRA: score and speed, lorafit beside PEFT with Hugging Face's Trainer.

    python scripts/bench/variants.py encoder --base MODEL_FOLDER --data GLUE_FOLDER --epochs 2 --seeds 0 [--only dora]
    python scripts/bench/variants.py decoder --model MODEL_FOLDER --rows E2E_FILE --inputs 6

Each row is one of scripts/bench/glue.py or of real_lm.py, which say what both contenders get and take all further
options. The score is the accuracy of the best epoch (more is better), or the loss of a target token that was not
trained on (less is better); the speed is real tokens per CPU-second of training.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from results import recorded

Run = dict[str, Any]


class Kind(NamedTuple):
    """What measures a kind of base, its score, and how the base's modules are called."""

    script: str
    score: Callable[[Run], float]
    lower_layers: str
    all_linear: str


class Variant(NamedTuple):
    """Keys of [method] and of PEFT's LoraConfig that mean the same, and LoRA+'s ratio."""

    method: dict[str, Any]
    peft: dict[str, Any]
    lora_plus_ratio: float | None = None


KINDS = {
    "encoder": Kind(
        "glue.py",
        lambda run: max(epoch["accuracy"] for epoch in run["epochs"]),
        "layer.[0-2].*",
        r".*encoder\.layer\..*(query|key|value|dense)",
    ),
    "decoder": Kind("real_lm.py", lambda run: run["loss"], "layers.[0-8].*", "all-linear"),
}


def variants(kind: Kind) -> dict[str, Variant]:
    """By name, on bases of that kind."""
    everywhere = {"targets": ["all-linear"]}
    pattern = kind.lower_layers.replace(".", r"\.").replace("*", ".*")
    return {
        "lora": Variant({}, {}),
        "rslora": Variant({"scaling": "rslora"}, {"use_rslora": True}),
        "lora+": Variant({}, {}, 4.0),
        "patterns": Variant(
            {"r": {kind.lower_layers: 4, "default": 16}}, {"r": 16, "rank_pattern": {pattern: 4}}
        ),
        "pissa": Variant({"init": "pissa"}, {"init_lora_weights": "pissa"}),
        "olora": Variant({"init": "olora"}, {"init_lora_weights": "olora"}),
        "dora": Variant({"dora": True}, {"use_dora": True}),
        "lora, all linear": Variant(everywhere, {"target_modules": kind.all_linear}),
        "dora, all linear": Variant(
            {**everywhere, "dora": True}, {"target_modules": kind.all_linear, "use_dora": True}
        ),
    }


def measured(kind: Kind, variant: Variant, options: list[str]) -> dict[str, list[Run]]:
    """The runs of each contender."""
    given = ["--method", json.dumps(variant.method), "--peft", json.dumps(variant.peft), "--json"]
    if variant.lora_plus_ratio is not None:
        given += ["--lora-plus-ratio", str(variant.lora_plus_ratio)]
    command = [sys.executable, str(Path(__file__).with_name(kind.script)), *options, *given]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def row(name: str, kind: Kind, results: dict[str, list[Run]]) -> str:
    """Means of scores, medians of speeds, and of their ratio seed by seed."""
    speeds = {who: [run["num_tokens"] / run["train_s"] for run in runs] for who, runs in results.items()}
    cells = [f"{name:<18}"]
    for who, runs in results.items():
        score = statistics.mean(kind.score(run) for run in runs)
        cells.append(f"{score:>10.4f}{statistics.median(speeds[who]):>10,.1f}")
    ratios = [ours / theirs for ours, theirs in zip(speeds["lorafit"], speeds["peft"], strict=True)]
    return "  ".join([*cells, f"{statistics.median(ratios):>6.2f}x"])


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--only", nargs="+", default=[], help="only these variants")
    args, options = parser.parse_known_args()
    kind = KINDS[args.kind]
    chosen = variants(kind)
    if unknown := set(args.only) - chosen.keys():
        parser.error(f"no variant {', '.join(sorted(unknown))}; there are {', '.join(chosen)}")
    print(f"{'':<18}  {'lorafit':>10}{'tokens/s':>10}  {'peft':>10}{'tokens/s':>10}  speed")
    for name in args.only or chosen:
        print(row(name, kind, measured(kind, chosen[name], options)), flush=True)


if __name__ == "__main__":
    recorded(main)
