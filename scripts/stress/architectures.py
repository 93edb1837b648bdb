"""Every architecture that transformers can train: does it work here, and with which shortcuts?

    python scripts/stress/architectures.py --folder /tmp/architectures --jobs 2 [--only NAME ...] [--again] [--write]

Each causal language model and each sequence classifier of transformers' tables is built small, as
`lorafit.models.trials.shrink` does, and trained for three steps with transformers alone; what cannot be, is left out of
the count. The others are trained with LoRA on all linear layers by `lorafit.train`, merged, and opened again with
transformers. Compared are the loss of the batch, the tokens that are written, and the logits of merged model and
adapter with those of each text on its own.
Results are kept in the folder: the same call goes on where it stopped. `--write` puts the table into docs/models.md.
Exit code 1 where something differs in silence, or less than 95 % of those that train bare work.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import transformers
from small_bases import AUTO, ROWS, NotBareError, Output, said, save_base
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    PreTrainedModel,
)
from transformers.models.auto import modeling_auto

import lorafit
from lorafit.adapters import BaseChoice
from lorafit.data import RawRow
from lorafit.decoding import Greedy, generate_all
from lorafit.decoding.session import way_to_decode
from lorafit.models import FAMILIES, Model, family_of, way_to_read
from lorafit.objectives.restored import RestoredAdapter
from lorafit.recipe import EvalSection

TABLES: Mapping[Output, Mapping[str, Any]] = {
    "text": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "label": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"
AGREE = 2e-4  # of the largest logit
LIMIT_S = 240.0
LONGEST_REASON = 160  # characters
AIM = 0.95


@dataclass(frozen=True)
class Result:
    """`state`: "works", "fails", "differs" (in silence), or "not bare"; `why` it is not "works"."""

    model_type: str
    output: Output
    state: str
    reading: str = ""
    decoding: str = ""
    why: str = ""
    seconds: float = 0.0


def main() -> None:
    """Try what is not yet tried, and report."""
    options = arguments()
    root = Path(options.folder)
    root.mkdir(parents=True, exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(root / "cache")
    chosen = [(name, output) for output in AUTO for name in sorted(TABLES[output])]
    chosen = [case for case in chosen if not options.only or case[0] in options.only]
    open_cases = [case for case in chosen if options.again or is_open(root, *case, failed=options.failed)]
    run_all(root, open_cases, options.jobs)
    results = [read_result(root, *case) for case in chosen]
    print("\n".join(summary(results)))
    if options.write:
        write_page(results)
    sys.exit(not is_good(results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="results, and what is at work")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these model types alone")
    parser.add_argument("--failed", action="store_true", help="what does not work, again")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="also what has a result already")
    parser.add_argument("--write", action="store_true", help="put the table into docs/models.md")
    return parser.parse_args()


# ---- each in a process of its own


def run_all(root: Path, cases: list[tuple[str, Output]], num_jobs: int) -> None:
    """Some at a time, each in a fork of this process, which has imported everything and computed nothing."""
    context = multiprocessing.get_context("fork")
    waiting, running = list(cases), dict[BaseProcess, tuple[str, Output, float]]()
    while waiting or running:
        while waiting and len(running) < num_jobs:
            case = waiting.pop(0)
            process: BaseProcess = context.Process(target=try_and_write, args=(root, *case))
            process.start()
            running[process] = (*case, time.monotonic())
        for process, (name, output, started) in list(running.items()):
            seconds = time.monotonic() - started
            if process.is_alive() and seconds < LIMIT_S:
                continue
            why = (
                f"takes more than {LIMIT_S:.0f} s" if process.is_alive() else f"exit code {process.exitcode}"
            )
            process.kill()
            process.join()
            del running[process]
            if not result_path(root, name, output).exists():
                write_result(root, Result(name, output, "fails", why=why, seconds=seconds))
            result = read_result(root, name, output)
            print(
                f"{len(waiting):4} left  {name} ({output}): {result.state} {result.reading} {result.why}",
                flush=True,
            )
        time.sleep(0.05)


def is_open(root: Path, model_type: str, output: Output, *, failed: bool) -> bool:
    """Whether it has no result, or one that is to be tried again."""
    if not result_path(root, model_type, output).exists():
        return True
    return failed and read_result(root, model_type, output).state in ("fails", "differs")


def try_and_write(root: Path, model_type: str, output: Output) -> None:
    """In the child."""
    result_path(root, model_type, output).unlink(missing_ok=True)
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity(logging.CRITICAL)
    transformers.utils.logging.disable_progress_bar()
    folder = root / "work" / f"{model_type}-{output}"
    log = (root / f"{model_type}-{output}.log").open("w")
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_result(root, try_one(folder, model_type, output))
    shutil.rmtree(folder)


def result_path(root: Path, model_type: str, output: Output) -> Path:
    """Where a result lies."""
    return root / "results" / f"{model_type}-{output}.json"


def write_result(root: Path, result: Result) -> None:
    """As JSON."""
    path = result_path(root, result.model_type, result.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")


def read_result(root: Path, model_type: str, output: Output) -> Result:
    """What `write_result` wrote."""
    return Result(**json.loads(result_path(root, model_type, output).read_text(encoding="utf-8")))


# ---- one architecture


def try_one(folder: Path, model_type: str, output: Output) -> Result:
    """Everything with one architecture, in an empty folder."""
    started = time.monotonic()
    reading = decoding = ""
    try:
        with warnings.catch_warnings(action="ignore"):
            save_base(folder, model_type, output)
            config = AutoConfig.from_pretrained(folder / "base")
            reading = way_to_read(family_of(config), config, output)
            decoding = way_to_decode(config) if output == "text" else ""
            state, why = train_and_compare(folder, output)
    except NotBareError as error:
        state, why = "not bare", str(error)
    except Exception as error:  # whatever a net raises is its reason
        traceback.print_exc()
        state, why = "fails", said(error).replace(f"{folder}/", "")
    return Result(model_type, output, state, reading, decoding, why, round(time.monotonic() - started, 2))


def train_and_compare(folder: Path, output: Output) -> tuple[str, str]:
    """State and reason, by the road that a user takes."""
    recipe = "own_generation" if output == "text" else "own_classification"
    decode = {"decode.num_beams": 1, "decode.max_new_tokens": 5}
    run = lorafit.train(
        recipe,
        {
            "model.base": str(folder / "base"),
            "data.train": str(folder / "train.jsonl"),
            "data.valid": str(folder / "train.jsonl"),
            "data.max_length": 64,
            "method.targets": ["all-linear"],
            "method.r": 2,
            "method.alpha": 4,
            "train.epochs": None,
            "train.max_steps": 3,
            "train.batch_size": 4,
            "train.learning_rate": 0.02,
            "train.warmup_ratio": None,
            "eval.metrics": ["bleu" if output == "text" else "accuracy"],
            **(decode if output == "text" else {}),
        },
        folder / "run",
        report=lambda _: None,
    )
    lorafit.merge(run.adapter, folder / "merged")
    restored = RestoredAdapter.of(run.adapter, BaseChoice())
    model = restored.model
    merged = AUTO[output].from_pretrained(folder / "merged").eval()
    faults = [
        *loss_faults(restored, output),
        *merge_faults(model.net, merged, encoded(model)),
        *(decoding_faults(model) if output == "text" else []),
    ]
    return ("differs", "; ".join(faults)) if faults else ("works", "")


def encoded(model: Model) -> list[Tensor]:
    """The ids [1, length] of every row."""
    tokenizer = model.require_tokenizer()
    return [torch.tensor([tokenizer(" ".join(row))["input_ids"]]) for row in ROWS]


@torch.no_grad()
def loss_faults(restored: RestoredAdapter, output: Output) -> Iterator[str]:
    """The loss of the batch is the sum of those that the net's own logits give, each text on its own."""
    model, objective = restored.model, restored.objective(EvalSection())
    raw = [json.loads(line) for line in Path(str(restored.adapter.card.data.train)).read_text().splitlines()]
    rows = [restored.task.parse(RawRow(i + 1, row), "train") for i, row in enumerate(raw)]
    examples = list(objective.encoder(model.require_tokenizer()).encode(rows).examples)
    expected = torch.zeros(())
    for example in examples:
        ids = torch.tensor([objective.inputs(example)])
        logits = model.net(input_ids=ids).logits
        if output == "text":
            shown = objective.collate([[example]])
            expected += F.cross_entropy(logits[0, -len(shown.targets) :], shown.targets, reduction="sum")
        else:
            expected += F.cross_entropy(logits, torch.tensor([int(example.label)]), reduction="sum")
    objective.prepare(model)
    found = objective.loss_sums(model, objective.collate([examples]), [0.0])[0]
    if not torch.isclose(found, expected, rtol=1e-4, atol=1e-4):
        yield f"loss {found:.5f} instead of {expected:.5f}"


@torch.no_grad()
def merge_faults(net: PreTrainedModel, merged: PreTrainedModel, texts: list[Tensor]) -> Iterator[str]:
    """Merged, it gives the same logits."""
    ours, theirs = (
        torch.cat([each(input_ids=text).logits.flatten(0, -2) for text in texts]) for each in (net, merged)
    )
    largest, difference = ours.abs().max(), (ours - theirs).abs().max()
    if not difference <= AGREE * largest:
        yield f"merged logits differ by {difference:.3g} of {largest:.3g}"


@torch.no_grad()
def decoding_faults(model: Model) -> Iterator[str]:
    """The tokens of a greedy search are those of the plain forward pass, read anew for every token."""
    prompts = [text[0, :4].tolist() for text in encoded(model)[:3]] + [encoded(model)[3][0, :7].tolist()]
    found = generate_all(model.net, prompts, Greedy(max_new_tokens=5, eos_token_ids=()))
    for prompt, ids in zip(prompts, found, strict=True):
        plain = list(prompt)
        for _ in ids:
            plain.append(int(model.net(input_ids=torch.tensor([plain])).logits[0, -1].argmax()))
        if plain[len(prompt) :] != ids:
            yield f"writes {ids} instead of {plain[len(prompt) :]}"
            return


# ---- the report


def is_good(results: list[Result]) -> bool:
    """Nothing differs in silence, and enough work."""
    counted = [result for result in results if result.state != "not bare"]
    num_working = sum(result.state == "works" for result in counted)
    return all(r.state != "differs" for r in results) and num_working >= AIM * len(counted)


def summary(results: list[Result]) -> Iterator[str]:
    """A line for each kind, and one for everything that does not work."""
    for output in AUTO:
        of_kind = [result for result in results if result.output == output]
        counted = [result for result in of_kind if result.state != "not bare"]
        working = [result for result in counted if result.state == "works"]
        ways = {way: sum(r.reading == way for r in working) for way in ("packed", "padded", "single")}
        shares = ", ".join(f"{count} {way}" for way, count in ways.items())
        yield f"{output}: {len(of_kind)} in the table, {len(counted)} train bare, {len(working)} work ({shares})"
    for result in results:
        if result.state in ("fails", "differs"):
            yield f"  {result.model_type} ({result.output}) {result.state}: {result.why}"


def cell(result: Result | None) -> str:
    """What the table says of an architecture."""
    if result is None:
        return ""
    if result.state != "works":
        why = result.why if len(result.why) <= LONGEST_REASON else f"{result.why[:LONGEST_REASON]} …"
        return f"{result.state}: {why}".replace("|", "/").replace("<", "&lt;")
    return ", ".join(filter(None, (result.reading, result.decoding)))


def write_page(results: list[Result]) -> None:
    """The table between the two marks of docs/models.md."""
    found = {(result.model_type, result.output): result for result in results}
    lines = [f"With transformers {transformers.__version__} and torch {torch.__version__.split('+')[0]}:", ""]
    lines += [f"* {line}" for line in summary(results) if not line.startswith(" ")]
    lines += ["", "| `model_type` | file | writes texts | gives labels |", "|---|---|---|---|"]
    for name in sorted({result.model_type for result in results}):
        cells = (cell(found.get((name, output))) for output in AUTO)
        lines.append(f"| {name} | {'yes' if name in FAMILIES else ''} | {' | '.join(cells)} |")
    start, end = "<!-- made by scripts/stress/architectures.py -->", "<!-- end -->"
    before, rest = PAGE.read_text(encoding="utf-8").split(start)
    after = rest.split(end)[1]
    PAGE.write_text(f"{before}{start}\n\n" + "\n".join(lines) + f"\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
