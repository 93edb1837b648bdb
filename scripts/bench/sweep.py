"""Nine adapters on one base, trained together and one after the other: CPU seconds of fitting, and peak memory.

    python scripts/bench/sweep.py [--base quickstart|gpt2] [--dtype float32|bfloat16] [--steps N] [--rounds N]

Three learning rates times three seeds of the quickstart, with batches of its own size; `--base gpt2` has GPT-2 124M's
shape with random weights, since time does not depend on their values, and batches of 8. Either way is a process of its
own with one thread; the base is loaded once in each, and only the optimizer steps are timed. The rounds are
interleaved, so that a busy machine slows both, and the figures are medians. On a GPU it is wall time. `--members N`
lets N fly together instead of nine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results import recorded

RATES, SEEDS = (1e-3, 3e-3, 1e-2), (0, 1, 2)
NUM_RUNS = len(RATES) * len(SEEDS)
ASSETS = Path(__file__).resolve().parents[2] / "lorafit" / "assets" / "quickstart"


def main() -> None:
    """Run both ways, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", choices=("quickstart", "gpt2"), default="quickstart")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", type=int, default=NUM_RUNS)
    parser.add_argument("--way", choices=("alone", "in-turns", "together"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.base == "gpt2":
            save_gpt2(Path(folder))
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(options.rounds):
            for way in ("alone", "in-turns", "together"):
                found.setdefault(way, []).append(in_a_process(way, folder))
    show(found, options)


def in_a_process(way: str, folder: str) -> dict[str, float]:
    """The figures of one way, measured in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--way", way, "--folder", folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    value: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return value


def show(found: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    """Medians over the rounds, and the ratios to one after the other."""
    seconds = {way: statistics.median(each["seconds"] for each in rounds) for way, rounds in found.items()}
    memory = {way: statistics.median(each["peak_bytes"] for each in rounds) for way, rounds in found.items()}
    tokens = {way: rounds[0]["tokens"] for way, rounds in found.items()}
    print(f"{options.base}, {options.dtype}, {options.steps} steps of each of {NUM_RUNS} runs")
    for way in found:
        print(
            f"{named(way, options.members):<26} {seconds[way]:8.2f} s  {tokens[way] / seconds[way]:9,.0f} tokens/s  "
            f"{memory[way] / 1e6:8,.0f} MB"
        )
    at_once = min(options.members, NUM_RUNS)
    print(f"time of {at_once} at a time / in turns:  {seconds['together'] / seconds['in-turns']:.3f}")
    print(f"memory of {at_once} at a time / one run: {memory['together'] / memory['alone']:.3f}")


def named(way: str, at_once: int) -> str:
    """What its line of the table is called."""
    if way == "alone":
        return "one run"
    if way == "in-turns":
        return f"{NUM_RUNS} runs, in turns"
    return f"{NUM_RUNS} runs, " + (f"{at_once} at a time" if at_once < NUM_RUNS else "together")


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of all steps, tokens read, and the greatest memory of the process (of the GPU, where there is one)."""
    import torch

    from lorafit.lora import Draws, Members
    from lorafit.run.plan import load_plan, make_schedule
    from lorafit.run.session import load, make_member
    from lorafit.training import ProcessGroup, Stepped, fit

    torch.set_num_threads(1)
    settings = [(rate, seed) for rate in RATES for seed in SEEDS][: 1 if options.way == "alone" else None]
    plans = [load_plan("quickstart", overrides(options, *setting)) for setting in settings]
    base = load(plans[0], lambda _: None)
    model, members = base.model, []
    family = Members(model.net, model.net.base_model)
    for plan in plans:
        draws = Draws(plan.recipe.train.seed)
        plan.method.attach(model, draws.init())
        number = family.add(draws)
        with family.alone(number):
            model.placement.place(model.net)
            own = base.for_member(plan)
            section = plan.recipe.train
            members.append(make_member(own, section, make_schedule(section, own.order), draws))
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    tokens, started = 0, clock()
    if options.way == "together":
        with family.together(), model.placement.autocast():
            model.net.train()
            events = fit(model, members, base.objective, ProcessGroup(), options.members)
            tokens = sum(event.num_tokens for event in events if isinstance(event, Stepped))
    for number, member in enumerate(members if options.way != "together" else ()):
        with family.alone(number), model.placement.autocast():
            model.net.train()
            events = fit(model, [member], base.objective, ProcessGroup())
            tokens += sum(event.num_tokens for event in events if isinstance(event, Stepped))
    seconds = clock() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    return {"seconds": seconds, "tokens": tokens, "peak_bytes": peak}


def overrides(options: argparse.Namespace, rate: float, seed: int) -> Sequence[str]:
    """What makes the quickstart the run that is measured."""
    values: dict[str, Any] = {
        "train.max_steps": options.steps,
        "train.learning_rate": rate,
        "train.seed": seed,
        "model.dtype": options.dtype,
    }
    if options.base == "gpt2":
        values |= {"model.base": options.folder, "train.batch_size": 8}
    return [f"{key}={value}" for key, value in values.items()]


def save_gpt2(folder: Path) -> None:
    """A random GPT-2 124M with the quickstart's tokenizer."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
    AutoTokenizer.from_pretrained(ASSETS / "base").save_pretrained(folder)


if __name__ == "__main__":
    main() if "--way" in sys.argv else recorded(main)
