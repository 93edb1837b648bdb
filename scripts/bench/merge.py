"""What merging costs: lorafit, peft and cp side by side on a GPT-2-medium-shaped base, each in a process of its own.

    python scripts/bench/merge.py [--rounds 3] [--layers 24] [--width 1024]

Contenders, interleaved in every round:
    lorafit          `lorafit merge --proof forward`: check, stream, prove every tensor and the answers
    lorafit weights  `lorafit merge --proof weights`: the answers are left out, and transformers with them
    lorafit write    nothing is proven (what peft does)
    peft             PeftModel.from_pretrained, merge_and_unload, save_pretrained
    cp               `cp` of the base's weight file
    cp + sync        the same, and on disk
Prints medians of wall seconds, seconds without imports, CPU seconds, peak resident and peak anonymous memory of the
process (sampled from /proc every 2 ms), whether every output equals the others bit for bit, and how far it is from
the merge in float64. Page cache warm; nothing else should run. peft is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from results import recorded

RANK, ALPHA = 4, 32.0

IMPORTS = """
import time; started = time.perf_counter()
import lorafit.verbs.merge, lorafit.display.adapters
"""

SETUP = """
import sys, torch
from pathlib import Path
from transformers import GPT2Config, GPT2LMHeadModel
from lorafit.adapters import AdapterCard, BaseCard, take_fingerprint, trained_tensors, write_adapter
from lorafit.adapters.fingerprint import answers, probe_inputs
from lorafit.interop.writers import WRITERS
from lorafit.methods import LoRA
from lorafit.models import FAMILIES, Model, base_folder, base_identity, load_config, skeleton
from lorafit.run.provenance import provenance
from lorafit.tasks import make_task

base, adapter, exported, layers, width = *map(Path, sys.argv[1:4]), *map(int, sys.argv[4:6])
torch.manual_seed(0)
net = GPT2LMHeadModel(GPT2Config(n_layer=layers, n_embd=width, n_head=width // 64))
net.save_pretrained(base, max_shard_size="9GB")
model = Model(net.eval(), None, FAMILIES["gpt2"], "text")
inputs = probe_inputs(model.vocab_size)
bare = answers(model, inputs)
method = LoRA(r=4, alpha=32.0, targets=("query", "value"))
method.attach(model, torch.Generator().manual_seed(1))
with torch.no_grad():
    for parameter in model.trained().values():
        parameter.normal_(std=0.02)
card = AdapterCard(
    base=BaseCard(**vars(base_identity(str(base), None, base_folder(str(base))))),
    method=method.options(), task=make_task("e2e").options(), provenance=provenance(),
)
write_adapter(adapter, card, trained_tensors(model), take_fingerprint(model, inputs, bare))
from lorafit.adapters import read_adapter
shape = skeleton(load_config(str(base)), "text")
method.attach(shape)
exported.mkdir()
WRITERS["peft"].write(read_adapter(adapter), shape, exported)
"""

LORAFIT_WRITE = (
    IMPORTS
    + """
import sys
from pathlib import Path
from lorafit.adapters import check_base, read_adapter, where_base
from lorafit.interop.low_memory import low_memory
from lorafit.interop.models import MODEL_WRITERS
from lorafit.interop.models.source import MergeSource
imported = time.perf_counter() - started
adapter, output = read_adapter(Path(sys.argv[2])), Path(sys.argv[4])
check_base(adapter)
output.mkdir()
with low_memory():
    source = MergeSource.of(adapter, *where_base(adapter, None))
    MODEL_WRITERS["transformers"].write(source, output, dtype=None, max_shard_bytes=None)
print("imports", imported)
"""
)

PEFT = """
import time; started = time.perf_counter()
import sys
from transformers import GPT2LMHeadModel
from peft import PeftModel
imported = time.perf_counter() - started
net = GPT2LMHeadModel.from_pretrained(sys.argv[1])
PeftModel.from_pretrained(net, sys.argv[3]).merge_and_unload().save_pretrained(sys.argv[4])
print("imports", imported)
"""

ERROR = """
import sys, torch
from safetensors import safe_open
from safetensors.torch import load_file
base, adapter, merged = sys.argv[1:4]
factors = load_file(f"{adapter}/adapter.safetensors")
worst = moved = 0.0
with safe_open(f"{base}/model.safetensors", "pt") as old, safe_open(f"{merged}/model.safetensors", "pt") as new:
    for name in new.keys():
        w, m = old.get_tensor(name).double(), new.get_tensor(name).double()
        if name.endswith("attn.c_attn.weight"):
            a, b = (factors[name.removesuffix("weight") + f].double() for f in ("lora_A", "lora_B"))
            d = w.shape[0]
            moved = max(moved, float((m - w).abs().max()))
            w[:, :d] += 8 * (b[:d] @ a[:4]).T
            w[:, 2 * d :] += 8 * (b[d:] @ a[4:]).T
        worst = max(worst, float((m - w).abs().max()))
print(worst, moved)
"""


class Meter(threading.Thread):
    """Peak memory of a running process, in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.path = Path(f"/proc/{pid}/status")
        self.peak = {"VmHWM": 0, "RssAnon": 0}
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            try:
                text = self.path.read_text()
            except OSError:
                return
            for key in self.peak:
                if match := re.search(rf"{key}:\s+(\d+)", text):
                    self.peak[key] = max(self.peak[key], int(match[1]) * 1024)
            time.sleep(0.002)


def run(command: list[str]) -> dict[str, float]:
    """Wall and CPU seconds, peaks, and the seconds that the process says its imports took."""
    before = os.times()
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    meter = Meter(process.pid)
    meter.start()
    out, err = process.communicate()
    wall = time.perf_counter() - started
    meter.done.set()
    after = os.times()
    if process.returncode:
        raise SystemExit(f"{command[:3]}: {err}")
    said = re.search(r"imports ([\d.]+)", out)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    imports = float(said[1]) if said else 0.0
    return {"wall": wall, "work": wall - imports, "cpu": cpu, **meter.peak}


def contenders(base: Path, adapter: Path, exported: Path, output: Path) -> dict[str, list[str]]:
    """The command of each."""
    folders = [str(path) for path in (base, adapter, exported, output)]
    weights = base / "model.safetensors"
    merge = [sys.executable, "-m", "lorafit", "merge", str(adapter), str(output)]
    every = {
        "lorafit": [*merge, "--proof", "forward"],
        "lorafit weights": [*merge, "--proof", "weights"],
        "lorafit write": [sys.executable, "-c", LORAFIT_WRITE, *folders],
        "cp": ["sh", "-c", f"mkdir {output} && cp {weights} {output}"],
        "cp + sync": [
            "sh",
            "-c",
            f"mkdir {output} && cp {weights} {output} && sync {output}/model.safetensors",
        ],
    }
    if importlib.util.find_spec("peft"):
        every["peft"] = [sys.executable, "-W", "ignore", "-c", PEFT, *folders]
    return every


def same_weights(first: Path, second: Path) -> bool:
    """Whether two files hold the same tensors bit for bit, in whatever order."""
    code = (
        "import sys; from safetensors import safe_open; a, b = (safe_open(p, 'pt') for p in sys.argv[1:3]);"
        "print(set(a.keys()) == set(b.keys()) and all(a.get_tensor(k).equal(b.get_tensor(k)) for k in a.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(first), str(second)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip() == "True"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--only", nargs="*", help="these contenders alone")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lorafit-merge-") as name:
        work = Path(name)
        base, adapter, exported, output = (work / n for n in ("base", "adapter", "peft", "merged"))
        sizes = [str(arguments.layers), str(arguments.width)]
        subprocess.run(
            [sys.executable, "-c", SETUP, str(base), str(adapter), str(exported), *sizes], check=True
        )
        commands = contenders(base, adapter, exported, output)
        if arguments.only:
            commands = {name: commands[name] for name in arguments.only}
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
        kept: dict[str, Path] = {}
        for _ in range(arguments.rounds):
            for name, command in commands.items():
                measured[name].append(run(command))
                if name in ("lorafit", "peft") and name not in kept:
                    kept[name] = output.rename(work / f"kept {name}")
                else:
                    shutil.rmtree(output)
        start_up = statistics.median(
            run([sys.executable, "-c", IMPORTS])["wall"] for _ in range(arguments.rounds)
        )
        report(measured, start_up, (base / "model.safetensors").stat().st_size, arguments.json)
        for name, folder in kept.items():
            done = subprocess.run(
                [sys.executable, "-c", ERROR, str(base), str(adapter), str(folder)],
                capture_output=True,
                text=True,
                check=True,
            )
            worst, moved = map(float, done.stdout.split())
            print(
                f"{name}: at most {worst:.1e} from the merge in float64; moved weights by up to {moved:.3g}"
            )
        if len(kept) == 2:
            first, second = (folder / "model.safetensors" for folder in kept.values())
            print(f"lorafit and peft wrote the same bits: {same_weights(first, second)}")


def report(
    measured: dict[str, list[dict[str, float]]], start_up: float, num_bytes: int, path: Path | None
) -> None:
    """A row for each contender, and the ratios that matter."""
    print(f"base: {num_bytes / 1e9:.2f} GB; start-up of lorafit merge (imports alone): {start_up:.2f} s\n")
    print(f"{'median of rounds':16}{'wall s':>9}{'work s':>9}{'cpu s':>9}{'peak MB':>9}{'anon MB':>9}")
    rows: dict[str, Any] = {}
    for name, runs in measured.items():
        rows[name] = {key: statistics.median(r[key] for r in runs) for key in runs[0]}
        row = rows[name]
        memory = f"{row['VmHWM'] / 1e6:>9.0f}{row['RssAnon'] / 1e6:>9.0f}"
        print(f"{name:16}{row['wall']:>9.2f}{row['work']:>9.2f}{row['cpu']:>9.2f}{memory}")
    if "cp" in rows and "lorafit" in rows:
        allowed = 4 * rows["cp"]["wall"] + start_up
        print(f"\nlorafit {rows['lorafit']['wall']:.2f} s; 4 x cp + start-up {allowed:.2f} s", end="")
        print(f"; peft {rows['peft']['wall']:.2f} s" if "peft" in rows else "")
    if path:
        path.write_text(
            json.dumps({"bytes": num_bytes, "start_up": start_up, "contenders": rows}, indent=2) + "\n"
        )


if __name__ == "__main__":
    recorded(main)
