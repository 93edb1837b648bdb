"""Rows of a file to token ids: seconds and peak memory, the first time and when the same run starts again.

    python scripts/bench/encode.py [--rows train.txt] [--tokenizer FOLDER] [--count 420480] [--batches 1000] [--write]

The rows are those of a file in E2E's layout, repeated until there are `--count` of them. Each figure is of a process of
its own, imports not counted in its seconds: `first` reads, tokenizes and keeps; `again` is the same program once more;
`not kept` has LORAFIT_CACHE_GB=0; `datasets` tokenizes prompt and completion with `datasets.map` in batches, with as
many processes as there are cores, and is run twice as well. With `--batches`, `again` also makes so many batches of an
epoch in its shuffled order, as training reads them. Peak: resident memory of the process, and of its children.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from results import recorded

ASSETS = Path(__file__).resolve().parents[2] / "lorafit" / "assets" / "quickstart"

MEASURE = """
import itertools, json, os, resource, sys, time
def measured(work):
    at_import = peak()
    wall, cpu = time.perf_counter(), cpu_s()
    count = work()
    wall, cpu = time.perf_counter() - wall, cpu_s() - cpu
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_mb": peak(), "imports_mb": at_import, "count": count}))
def cpu_s():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
def peak():
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e3
rows, tokenizer, num_batches = *sys.argv[1:3], int(sys.argv[3])
"""

LORAFIT = (
    MEASURE
    + """
from lorafit.models import load_tokenizer
from lorafit.objectives import Settings, facts_at_hand, objective_for
from lorafit.objectives.examples import encode_rows
from lorafit.objectives.order import Ordering
from lorafit.recipe import DecodeSection, EvalSection, TrainSection
from lorafit.tasks import load_rows, make_data, make_task
import torch
torch.set_num_threads(1)
def work():
    loaded = load_rows(make_task("e2e"), make_data("e2e", train=rows))
    settings = Settings(loaded.data, DecodeSection(), EvalSection())
    objective = objective_for(loaded.task, facts_at_hand(loaded.task, tokenizer), settings)
    found = encode_rows(objective, load_tokenizer(tokenizer), {"train": loaded.rows("train")}, loaded.data, "test")
    section = TrainSection(batch_size=8, epochs=1, learning_rate=1e-3)
    order = Ordering(section, loaded.data, loaded, objective).of(found.train)
    if num_batches:
        for batch in itertools.islice(order.batches(0), num_batches):
            objective.collate([[found.train.examples[i] for i in batch]])
    return len(found.train.examples)
measured(work)
"""
)

DATASETS = (
    MEASURE
    + """
import datasets
from transformers import AutoTokenizer
datasets.disable_progress_bars()
def work():
    ids = AutoTokenizer.from_pretrained(tokenizer)
    def encode(batch):
        pairs = [line.split("||") for line in batch["text"]]
        prompts = ids([prompt.strip() for prompt, _ in pairs])["input_ids"]
        return {"prompt": prompts, "completion": ids([" " + text.strip() for _, text in pairs])["input_ids"]}
    found = datasets.load_dataset("text", data_files=rows, split="train")
    return len(found.map(encode, batched=True, num_proc=os.cpu_count(), remove_columns=["text"]))
measured(work)
"""
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=Path, default=ASSETS / "data" / "train.txt")
    parser.add_argument("--tokenizer", type=Path, default=ASSETS / "base")
    parser.add_argument("--count", type=int, default=420_480)
    parser.add_argument("--batches", type=int, default=0, help="made when it starts again")
    parser.add_argument("--only", nargs="*", choices=["lorafit", "not-kept", "datasets"], default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = repeated(args.rows, Path(folder) / "train.txt", args.count)
        print(f"{args.count:,} rows, {rows.stat().st_size / 1e6:.0f} MB; {os.cpu_count()} cores")
        cache = Path(folder) / "cache"
        runs: dict[str, list[tuple[str, str, dict[str, str]]]] = {
            "lorafit": [("first", LORAFIT, {}), ("again", LORAFIT, {})],
            "not-kept": [("not kept", LORAFIT, {"LORAFIT_CACHE_GB": "0"})],
            "datasets": [("datasets", DATASETS, {}), ("datasets again", DATASETS, {})],
        }
        print(f"{'':16}{'wall s':>9}{'CPU s':>9}{'peak MB':>10}{'imports MB':>12}")
        for name, program, more in [run for key in args.only or runs for run in runs[key]]:
            environment = {"LORAFIT_CACHE": str(cache), "HF_DATASETS_CACHE": str(cache / "hf"), **more}
            num_batches = args.batches if name == "again" else 0
            found = measure(program, rows, args.tokenizer, num_batches, environment)
            print(line(name, found, args.count), flush=True)


def repeated(source: Path, target: Path, count: int) -> Path:
    """The lines of a file over and over, until there are `count`."""
    lines = source.read_bytes().splitlines(keepends=True)
    whole, rest = divmod(count, len(lines))
    with target.open("wb") as stream:
        for _ in range(whole):
            stream.writelines(lines)
        stream.writelines(lines[:rest])
    return target


def measure(
    program: str, rows: Path, tokenizer: Path, num_batches: int, more: dict[str, str]
) -> dict[str, float]:
    """What a process says of its work."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **more}
    command = [sys.executable, "-c", program, str(rows), str(tokenizer), str(num_batches)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def line(name: str, found: dict[str, float], count: int) -> str:
    if found["count"] != count:
        raise SystemExit(f"{name}: {found['count']:,} examples of {count:,} rows")
    figures = (
        f"{found['wall_s']:9.2f}{found['cpu_s']:9.2f}{found['peak_mb']:10.0f}{found['imports_mb']:12.0f}"
    )
    return f"{name:16}{figures}"


if __name__ == "__main__":
    recorded(main)
