"""A real language model on real rows: lorafit beside PEFT with Hugging Face's Trainer, from the same start.

    python scripts/bench/real_lm.py --rows E2E_FILE --model FOLDER [--make-from PACKAGES] [--inputs 40] [--seeds 0 1 2]

Gemma 3 270M, LoRA r 8 and alpha 16 on query and value, no dropout; every fourth line of a file in E2E's format, one
epoch in batches of 8, AdamW, 1e-3 with 10 steps of warm-up; then `--inputs` meaning representations by beam search of
width 4, scored against the references that were not trained on. Both contenders are given the same token ids, order
and start, so the first losses must be equal, and what differs is the time. They run at once, each a process with one
thread. Only tokens that the model reads and that are not padding count.

A third, short contender is PEFT with its cross-entropy in float64 and the paper's AdamW. In float32 torch's
cross-entropy over a vocabulary of 262,144 tokens is off by 1e-5 of the loss, and torch's AdamW adds its epsilon after
the correction of the second moment, which makes a first step 3e-4 longer: without both, no finer equality is seen.
`--make-from`: see real_model.py.

With `--json` (for variants.py), nothing is written: the score is the loss of a target token among the references.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contenders import add_variant_arguments, lora_plus_optimizer, result_of, start_alone
from real_model import BATCH_SIZE, LEARNING_RATE, NUM_NEW, add_arguments, make_where_missing, split_rows
from results import recorded

RANK, ALPHA, WARMUP_STEPS, NUM_BEAMS = 8, 16, 10, 4
METRICS = ("bleu", "nist", "rouge_l", "cider")
NUM_COMPARED, MOST_APART = 20, 1e-4
TASKS = {
    "paper": {"name": "e2e"},
    "newline": {
        "name": "generation",
        "prompt": "{prompt}\n",
        "completion_prefix": "",
        "scorer": "e2e-metrics",
    },
}


@dataclass
class Measured:
    """What a contender's run came to, in CPU-seconds and bytes."""

    losses: list[float] = field(default_factory=list)
    num_tokens: int = 0
    train_s: float = 0.0
    train_peak: int = 0
    decode_s: float = 0.0
    texts: list[str] = field(default_factory=list)
    loss: float = math.nan  # of a target token that was not trained on

    def start(self) -> None:
        """From now on it is training."""
        self._since = time.process_time()

    def step(self, loss: float, num_tokens: int) -> None:
        """A step is done."""
        self.train_s += time.process_time() - self._since
        self.losses.append(loss)
        self.num_tokens += num_tokens
        self.train_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.start()

    def decode(self, decoding: Callable[[], list[str]]) -> None:
        """Run it by the clock."""
        started = time.process_time()
        self.texts = decoding()
        self.decode_s = time.process_time() - started


@dataclass(frozen=True)
class Work:
    """The files that both contenders read."""

    folder: Path

    @property
    def recipe(self) -> Path:
        """The whole setting, as lorafit reads it."""
        return self.folder / "recipe.toml"

    @property
    def start(self) -> Path:
        """The LoRA matrices at the start."""
        return self.folder / "start.safetensors"

    @property
    def given(self) -> dict[str, Any]:
        """Token ids by row, batches in order, prompts to be answered."""
        return dict(json.loads((self.folder / "given.json").read_text(encoding="utf-8")))


def prepare(args: argparse.Namespace, seed: int, folder: Path) -> None:
    """The files of `Work`: what lorafit's own planning comes to, for both."""
    from safetensors.torch import save_file

    from lorafit.data.order import Mix, Order
    from lorafit.data.rows import TextRow
    from lorafit.lora import Draws
    from lorafit.models import load_base, load_config
    from lorafit.run.plan import load_plan
    from lorafit.tasks.generation import group_references

    work = Work(folder)
    for name, lines in zip(("train", "test"), split_rows(args.rows, args.inputs), strict=True):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    work.recipe.write_text(_recipe(args, seed, folder), encoding="utf-8")
    plan = load_plan(str(work.recipe), [])
    base = str(args.model)
    model = load_base(load_config(base, None, dropout=0.0), base, None, plan.task.output, head_seed=seed)
    plan.objective.prepare(model)
    if not plan.method.changes_base:
        plan.method.attach(model, Draws(seed, 0).init())
        save_file(
            {name: tensor.detach().contiguous() for name, tensor in model.trained().items()}, work.start
        )
    encoder = plan.objective.encoder(model.require_tokenizer())
    examples = encoder.encode(plan.rows.rows("train")).examples
    tests = [row for row in plan.rows.rows("test") if isinstance(row, TextRow)]
    held_out = encoder.encode(tests).examples
    prompts = plan.objective.encode_inputs(model.require_tokenizer(), tests).examples
    groups = group_references(tests)
    given = {
        "prompt_ids": [list(example.prompt_ids) for example in examples],
        "completion_ids": [list(example.completion_ids) for example in examples],
        "batches": [list(batch) for batch in Order(plan.recipe.train, Mix((len(examples),))).batches(0)],
        "prompts": [list(prompt) for prompt in prompts],
        "held_out": [[list(test.prompt_ids), list(test.completion_ids)] for test in held_out],
        "ends": model.end_tokens(),
        "references": [group.references for group in groups],
    }
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")


def _recipe(args: argparse.Namespace, seed: int, folder: Path) -> str:
    import tomli_w

    method = {"name": "lora", "r": RANK, "alpha": float(ALPHA), "targets": ["query", "value"], **args.method}
    sections = {
        "model": {"base": str(args.model), "dtype": args.dtype},
        "method": method,
        "task": TASKS[args.form],
        "data": {
            "format": "e2e",
            "train": str(folder / "train.txt"),
            "test": str(folder / "test.txt"),
        },
        "train": {
            "epochs": 1,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "warmup_steps": WARMUP_STEPS,
            "max_grad_norm": 0.0,
            "seed": seed,
            "log_every": 1,
            **({} if args.lora_plus_ratio is None else {"lora_plus_ratio": args.lora_plus_ratio}),
        },
        "decode": {"num_beams": NUM_BEAMS, "max_new_tokens": 1 if args.json else NUM_NEW},
        "eval": {"metrics": METRICS},
    }
    return tomli_w.dumps(sections)


def run_lorafit(args: argparse.Namespace, work: Work) -> Measured:
    """The product as a user runs it: training with its event stream, then the predictor of the adapter."""
    import lorafit
    from lorafit.adapters import read_adapter, restore
    from lorafit.training import Stepped

    measured = Measured()

    def report(event: Any) -> None:
        if not measured.decode_s and isinstance(event, Stepped):
            measured.step(event.loss, event.num_tokens)
        measured.start()

    overrides = {"data.test": str(work.folder / "one.txt")}  # scores are made below, for both in the same way
    (work.folder / "one.txt").write_text(
        (work.folder / "test.txt").read_text(encoding="utf-8").partition("\n")[0] + "\n", encoding="utf-8"
    )
    run = lorafit.train(work.recipe, overrides, work.folder / "run", report)
    if args.json:
        measured.loss = held_out_loss(restore(read_adapter(run.adapter)).net, work.given)
        return measured
    predictor = lorafit.load(run.adapter)
    prompts = _prompts(work.folder / "test.txt", args.form)
    measured.decode(lambda: [str(text) for text in predictor.predict(prompts, batch_size=BATCH_SIZE)])
    return measured


def _prompts(file: Path, form: str) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    inputs = list(dict.fromkeys(line.partition("||")[0] for line in lines))
    return [f"{text}\n" if form == "newline" else text for text in inputs]


def run_peft(args: argparse.Namespace, work: Work) -> Measured:
    """PEFT's LoRA under transformers' Trainer: padded to the longest of a batch, loss on the completion's labels."""
    measured = Measured()
    model, tokenizer = _peft_model(args, work), _tokenizer(args)
    optimizer = lora_plus_optimizer(model, LEARNING_RATE, args.lora_plus_ratio)
    _train_by_trainer(args, model, tokenizer, work.given, measured, optimizers=(optimizer, None))
    model.eval()
    if args.json:
        measured.loss = held_out_loss(model, work.given)
        return measured
    measured.decode(lambda: _generate(model.merge_and_unload(), tokenizer, work.given))
    return measured


def run_exactly(args: argparse.Namespace, work: Work) -> Measured:
    """The same for the losses that are compared, with the cross-entropy in float64 and the paper's AdamW."""
    from torch.nn.functional import cross_entropy

    from lorafit.training import AdamW

    def exact_loss(outputs: Any, labels: Any, num_items_in_batch: Any) -> Any:
        targets = labels[:, 1:].flatten()
        logits = outputs.logits[:, :-1].flatten(0, 1)[targets >= 0].double()
        return cross_entropy(logits, targets[targets >= 0], reduction="sum") / num_items_in_batch

    measured, model = Measured(), _peft_model(args, work)
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)
    options = {"compute_loss_func": exact_loss, "optimizers": (optimizer, None)}
    _train_by_trainer(args, model, _tokenizer(args), work.given, measured, NUM_COMPARED, **options)
    return measured


def held_out_loss(net: Any, given: dict[str, Any]) -> float:
    """Of a target token, over the rows that were not trained on, one at a time."""
    import torch

    total, num_targets = 0.0, 0
    for prompt, completion in given["held_out"]:
        ids = torch.tensor([prompt + completion])
        labels = torch.tensor([[-100] * len(prompt) + completion])
        with torch.inference_mode():
            total += net(input_ids=ids, labels=labels).loss.item() * len(completion)
        num_targets += len(completion)
    return total / num_targets


def _tokenizer(args: argparse.Namespace) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(args.model)


def _peft_model(args: argparse.Namespace, work: Work) -> Any:
    """The base in PEFT's LoRA, from the common start; where the start is a part of the base, it finds that itself."""
    import peft
    import torch
    import transformers
    from safetensors.torch import load_file

    net = transformers.AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    options = {"r": RANK, "lora_alpha": ALPHA, "target_modules": ["q_proj", "v_proj"], **args.peft}
    model = peft.get_peft_model(net, peft.LoraConfig(task_type="CAUSAL_LM", **options))
    if not work.start.is_file():
        return model
    start = load_file(work.start)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                ours = name.removeprefix("base_model.model.").removesuffix(".default.weight")
                parameter.copy_(start.pop(ours.replace("magnitude_vector", "magnitude")))
    if start:
        raise SystemExit(f"PEFT has no place for {', '.join(start)}")
    return model


def _train_by_trainer(
    args: argparse.Namespace,
    model: Any,
    tokenizer: Any,
    given: dict[str, Any],
    measured: Measured,
    num_steps: int | None = None,
    **options: Any,
) -> None:
    """Over the given rows in their order; for so many steps of the schedule, where that is said."""
    import torch
    import transformers

    rows = [
        {
            "input_ids": [*prompt, *completion],
            "attention_mask": [1] * (len(prompt) + len(completion)),
            "labels": [-100] * len(prompt) + completion,
        }
        for prompt, completion in zip(given["prompt_ids"], given["completion_ids"], strict=True)
    ]
    order = [index for batch in given["batches"] for index in batch]
    sizes = [sum(len(rows[index]["input_ids"]) for index in batch) for batch in given["batches"]]

    class InOrder(transformers.Trainer):
        """Takes the rows as they come: they stand in the order of training."""

        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows)

    class Clock(transformers.TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            measured.start()

        def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            del args
            if "loss" in more["logs"]:
                measured.step(more["logs"]["loss"], sizes[len(measured.losses)])
                control.should_training_stop |= state.global_step == num_steps

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH_SIZE,
            num_train_epochs=1,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="linear",
            warmup_steps=WARMUP_STEPS,
            weight_decay=0.0,
            max_grad_norm=0.0,
            logging_steps=1,
            bf16=args.dtype == "bfloat16",
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        InOrder(
            model=model,
            args=arguments,
            train_dataset=[rows[index] for index in order],
            data_collator=transformers.DataCollatorForSeq2Seq(tokenizer),
            processing_class=tokenizer,
            callbacks=[Clock()],
            **options,
        ).train()


def _generate(net: Any, tokenizer: Any, given: dict[str, Any]) -> list[str]:
    """transformers' own beam search, the longest prompts first as in ours."""
    import torch

    prompts, texts = given["prompts"], dict[int, str]()
    ordered = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    for first in range(0, len(ordered), BATCH_SIZE):
        batch = ordered[first : first + BATCH_SIZE]
        padded = tokenizer.pad(
            {"input_ids": [prompts[index] for index in batch]}, padding_side="left", return_tensors="pt"
        )
        with torch.inference_mode():
            written = net.generate(
                **padded,
                num_beams=NUM_BEAMS,
                do_sample=False,
                max_new_tokens=NUM_NEW,
                eos_token_id=given["ends"],
                pad_token_id=tokenizer.pad_token_id,
            )
        width = padded["input_ids"].shape[1]
        for index, ids in zip(batch, written[:, width:], strict=True):
            texts[index] = tokenizer.decode(ids, skip_special_tokens=True).strip()
    return [texts[index] for index in range(len(prompts))]


CONTENDERS: dict[str, Callable[[argparse.Namespace, Work], Measured]] = {
    "lorafit": run_lorafit,
    "peft": run_peft,
    "exact": run_exactly,
}
RACERS = ("lorafit", "peft")


def _race(names: list[str], seed: int, folder: Path) -> dict[str, dict[str, Any]]:
    """What they measured, running at once."""
    running = {name: start_alone(name, seed, "--work", str(folder)) for name in names}
    return {name: result_of(process) for name, process in running.items()}


def scores_of(texts: list[str], references: list[list[str]]) -> dict[str, float]:
    """By the programs that the paper used."""
    from lorafit.metrics.scorers import SCORERS
    from lorafit.metrics.scoring import score_texts

    scores = score_texts(SCORERS["e2e-metrics"], texts, references, metrics=METRICS)
    return {name: value or 0.0 for name, value in scores.all.items()}


def compare(results: dict[str, list[dict[str, Any]]]) -> None:
    """A line for each contender, and whether both trained the same."""
    print(f"\n{'':<8} {'tokens/CPU-s':>12} {'peak GB':>8} {'decoding':>9}  scores")
    for name, runs in results.items():
        speed = statistics.median(run["num_tokens"] / run["train_s"] for run in runs)
        peak = max(run["train_peak"] for run in runs) / 1e9
        decoding = statistics.median(run["decode_s"] for run in runs)
        means = {key: statistics.mean(run["scores"][key] for run in runs) for key in runs[0]["scores"]}
        figures = "  ".join(f"{key} {value:.3f}" for key, value in means.items())
        print(f"{name:<8} {speed:12.1f} {peak:8.2f} {decoding:8.1f}s  {figures}")
    if results.keys() == set(RACERS):
        pairs = list(zip(*results.values(), strict=True))
        faster = statistics.median(
            ours["num_tokens"] / ours["train_s"] * theirs["train_s"] / theirs["num_tokens"]
            for ours, theirs in pairs
        )
        print(f"lorafit trains {faster:.2f} times as fast")


def compare_losses(ours: list[float], theirs: list[float], exact: list[float]) -> None:
    """Whether both trained the same, by the first losses."""
    apart = _most_apart(ours, exact)
    print(
        f"first {NUM_COMPARED} losses: at most {apart:.1e} from PEFT's with a cross-entropy in float64 and the paper's "
        f"AdamW (allowed: {MOST_APART:g}), {_most_apart(ours, theirs):.1e} from those with torch's own, which are "
        f"{_most_apart(theirs, exact):.1e} from them",
        flush=True,
    )


def _most_apart(ours: Iterable[float], theirs: Iterable[float]) -> float:
    compared = list(zip(ours, theirs, strict=False))[:NUM_COMPARED]
    return max(abs(a - b) for a, b in compared)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    add_variant_arguments(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--form", choices=TASKS, default="newline", help="what stands behind a prompt")
    parser.add_argument("--only", choices=RACERS, nargs="*", default=list(RACERS))
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender:
        print(json.dumps(asdict(CONTENDERS[args.contender](args, Work(args.work)))))
        return
    make_where_missing(args)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in args.only}
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as folder:
            prepare(args, seed, Path(folder))
            if args.json:
                for name in results:
                    results[name] += _race([name], seed, Path(folder)).values()
                continue
            given = Work(Path(folder)).given
            for name, result in _race([*args.only], seed, Path(folder)).items():
                result["scores"] = scores_of(result.pop("texts"), given["references"])
                results[name].append(result)
            if results.keys() == set(RACERS):
                exact = _race(["exact"], seed, Path(folder))["exact"]["losses"]
                ours, theirs = (results[name][-1]["losses"] for name in RACERS)
                compare_losses(ours, theirs, exact)
    if args.json:
        print(json.dumps(results))
    else:
        compare(results)


if __name__ == "__main__":
    recorded(main)
