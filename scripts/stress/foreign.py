"""Draw PEFT adapters at random, import, merge, export and read them back, and hold every step against PEFT's logits.

    python scripts/stress/foreign.py --adapters 200 --seed 0

Families x targets x options of LoraConfig, each option at least once, each adapter moving the logits of its base by at
least 0.1. An adapter is either within 1e-4 of PEFT's logits at every step, or refused at import for one of REASONS.
Exit code 0 where not one differs in silence.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import random
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from foreign_draws import BASES, OPTIONS, PLAIN, Draw, draw, save_adapter, save_base
from peft import PeftModel
from torch import Tensor

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import AdapterError, LorafitError
from lorafit.verbs.export import export
from lorafit.verbs.import_ import ImportOptions, import_adapter
from lorafit.verbs.merge import merge

ALLOWED = 1e-4
LEAST_EFFECT = 0.1
LEAST_IMPORTED = 0.75
FORMATS = ("peft", "gguf")

REASONS = {
    "more than LoRA": r"has no counterpart in lorafit",
    "an init that cannot be done again": r"init_lora_weights = .*: (it was|it replaces)",
    "an init that PEFT gets wrong": r"init_lora_weights = .*: .*: PEFT (takes|has)",
    "ties that are kept": r"ensure_weight_tying = True",
    "a head that was not saved": r"which leads to the labels, and neither do the base's files",
    "the padding token": r"changes the row of the padding token",
}
"""Why an adapter may be refused, by what the message says."""


def main() -> None:
    """Draw until there are enough."""
    options = arguments()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="lorafit-foreign-") as folder:
        faults = run(Path(folder), options.adapters, random.Random(options.seed))
    sys.exit(bool(faults))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="PEFT adapters at random, against PEFT's logits")
    parser.add_argument("--adapters", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def run(root: Path, num_adapters: int, rng: random.Random) -> list[str]:
    """Prints the counts; returns the faults."""
    bases = {name: save_base(root / "bases" / name, name, seed) for seed, name in enumerate(BASES)}
    order = [*OPTIONS, *itertools.chain.from_iterable(itertools.repeat(PLAIN, num_adapters))]
    verdicts: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    faults = []
    worst = 0.0
    for number in range(num_adapters):
        folder = root / str(number)
        drawn = next(each for each in draws(rng, order[number], bases, folder) if each)
        verdict = judge(drawn, folder)
        verdicts[verdict.kind] += 1
        verdicts.update(f"  back from {how}" for how in verdict.came_back)
        seen.update(drawn.options)
        worst = max(worst, verdict.difference)
        if not verdict.right:
            faults.append(f"{number}: {drawn}: {verdict.kind}: {verdict.detail}")
            print(faults[-1], flush=True)
        shutil.rmtree(folder)
    never = sorted(OPTIONS.keys() - seen.keys())
    print("\n".join(f"{count:4d}  {kind}" for kind, count in verdicts.most_common()))
    if verdicts["imported"] < LEAST_IMPORTED * num_adapters:
        faults.append("too few were imported")
    print(f"{num_adapters} adapters, {len(seen)} options; largest difference from PEFT's logits {worst:.2g}")
    return faults + [f"never drawn: {name}" for name in never if num_adapters >= len(OPTIONS)]


def draws(rng: random.Random, option: str, bases: dict[str, Path], folder: Path) -> Iterator[Draw | None]:
    """Adapters with that option; None for one that PEFT does not make, or whose effect is too small."""
    while True:
        drawn = draw(rng, option, bases)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            save_adapter(drawn, folder / "peft")
        except (ValueError, TypeError, NotImplementedError, RuntimeError, KeyError, AttributeError):
            yield None
            continue
        expected = peft_logits(drawn, folder / "peft")
        with torch.no_grad():
            moved = None if expected is None else (expected - logits(drawn.load())).abs().max().item()
        yield drawn if moved is None or LEAST_EFFECT <= moved < 100 else None


@dataclass(frozen=True)
class Verdict:
    """What became of an adapter."""

    kind: str
    right: bool
    difference: float = 0.0
    detail: str = ""
    came_back: tuple[str, ...] = ()


def judge(drawn: Draw, folder: Path) -> Verdict:
    """Import, merge, export, read back."""
    expected = peft_logits(drawn, folder / "peft")
    try:
        import_adapter(folder / "peft", folder / "adapter", "peft", str(drawn.base), ImportOptions())
    except LorafitError as error:
        reason = next((reason for reason, words in REASONS.items() if re.search(words, str(error))), None)
        return Verdict(f"refused: {reason}", reason is not None, detail=str(error))
    if expected is None:
        return Verdict("imported, though PEFT cannot load it", False)
    differences = {}
    for step, got in steps(drawn, folder):
        differences[step] = (got - expected).abs().max().item()
    worst = max(differences.values())
    right = worst <= ALLOWED
    kind = "imported" if right else "DIFFERENT"
    return Verdict(kind, right, worst, str(differences), tuple(exact_formats(folder)))


def steps(drawn: Draw, folder: Path) -> Iterator[tuple[str, Tensor]]:
    """The logits after each step."""
    yield "import", logits(restore(read_adapter(folder / "adapter")).net)
    merge(folder / "adapter", folder / "merged", BaseChoice())
    yield "merge", logits(drawn.load(folder / "merged"))
    export(folder / "adapter", folder / "exported", "peft", BaseChoice())
    exported = peft_logits(drawn, folder / "exported")
    if exported is not None:
        yield "export", exported
    for name in FORMATS:
        if came_back(drawn, folder, name):
            yield f"{name} read back", logits(restore(read_adapter(folder / f"{name} again")).net)


def came_back(drawn: Draw, folder: Path, name: str) -> bool:
    """Export and import by a format; False where it has no place for the adapter."""
    try:
        export(folder / "adapter", folder / f"{name} out", name, BaseChoice())
    except AdapterError:
        return False
    import_adapter(folder / f"{name} out", folder / f"{name} again", name, str(drawn.base), ImportOptions())
    return True


def exact_formats(folder: Path) -> list[str]:
    """The formats from which every tensor came back bit for bit, and those with another bit."""
    first, found = read_adapter(folder / "adapter").tensors, []
    for name in FORMATS:
        if (folder / f"{name} again").is_dir():
            again = read_adapter(folder / f"{name} again").tensors
            same = again.keys() == first.keys() and all(torch.equal(t, again[n]) for n, t in first.items())
            found.append(f"{name}: {'every bit' if same else 'rounded'}")
    return found


def peft_logits(drawn: Draw, adapter: Path) -> Tensor | None:
    """What PEFT computes with an adapter; None where it cannot load it."""
    base = drawn.load()
    with contextlib.suppress(Exception):  # whatever PEFT raises
        return logits(PeftModel.from_pretrained(base, str(adapter)).eval())
    return None


@torch.no_grad()
def logits(net: torch.nn.Module) -> Tensor:
    """Of two texts."""
    ids = torch.arange(3, 27).view(2, 12)
    result: Tensor = net(input_ids=ids).logits
    return result


if __name__ == "__main__":
    main()
