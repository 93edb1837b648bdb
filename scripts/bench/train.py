"""Tokens per CPU-second and peak memory of a training step: lorafit, Hugging Face's Trainer with PEFT, trl, and others.

    python scripts/bench/train.py [--rows train.txt] [--tokenizer FOLDER] [--shape gpt2|gpt2-medium|gemma3-270m]
                                  [--dtype bfloat16] [--device cuda] [--only lorafit hf-trainer+peft]

LoRA r = 4 on query and value (PEFT on GPT-2: on c_attn), dropout 0.1, batches of 8 rows in E2E format; random weights,
since time does not depend on their values. Each contender is a process of its own with one thread; the rounds are
interleaved, so that a busy machine slows all of them, and the figures are medians over the rounds. Only real tokens
count: those that the model reads and that are not padding. On a GPU it is wall time instead of CPU time, in bfloat16.

`peft-tuned` is Trainer and PEFT as one who knows them sets them: no dropout in the base, rows grouped by length, loss
on completions alone. `trl-sft` is trl's SFTTrainer with PEFT, loss on completions too. `padded-512` is the way of the
paper's code: loralib's layer, rows padded to 512, all logits, and the smoothed loss over all of them. What is not
installed is left out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import multiprocessing
import os
import queue
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from results import recorded

SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257},
    "gpt2-medium": {"model_type": "gpt2", "n_embd": 1024, "n_layer": 24, "n_head": 16, "vocab_size": 50257},
    "gemma3-270m": {
        "model_type": "gemma3_text",
        "vocab_size": 262_144,
        "hidden_size": 640,
        "intermediate_size": 2048,
        "num_hidden_layers": 18,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "sliding_window": 512,
        "query_pre_attn_scalar": 256,
    },
}
ASSETS = Path(__file__).resolve().parents[2] / "lorafit" / "assets" / "quickstart"
BATCH_SIZE, RANK, ALPHA, DROPOUT, SMOOTHING = 8, 4, 32, 0.1, 0.1


@dataclass(frozen=True)
class Setting:
    """What all contenders are given."""

    rows: Path
    tokenizer: Path
    shape: str
    device: str
    dtype: str


StepTokens = Iterator[int]
"""Makes one optimizer step each time, and gives the number of real tokens in it."""


def lorafit_steps(setting: Setting) -> StepTokens:
    """The product's own training, from rows to optimizer step."""
    import torch

    from lorafit.data.batches import epoch_order
    from lorafit.lora import Draws, draw_from
    from lorafit.methods import LoRA
    from lorafit.models import Model, family_of, fuse_activations
    from lorafit.models.placement import Placement
    from lorafit.objectives import BaseFacts, Settings, objective_for
    from lorafit.recipe import DataSection, DecodeSection, EvalSection
    from lorafit.tasks import make_task
    from lorafit.training import AdamW, Member, ProcessGroup, Schedule, Stepped, Steps, fit, parameter_groups

    net, tokenizer, pairs = _start(setting)
    fuse_activations(net)
    family = family_of(net.config)
    sections = Settings(DataSection(max_length=512), DecodeSection(), EvalSection())
    objective = objective_for(make_task("e2e"), BaseFacts(net.config, family), sections)
    model = Model(net, tokenizer, family, "text")
    objective.prepare(model)
    draws = Draws(seed=0)
    LoRA(r=RANK, alpha=ALPHA, dropout=DROPOUT).attach(model, draws.init())
    placement = Placement(torch.device(setting.device), getattr(torch, setting.dtype))
    placement.place(net)
    draw_from(net, draws)
    examples = objective.encoder(tokenizer).encode(pairs).examples

    def order(epoch: int) -> Sequence[list[int]]:
        return epoch_order(len(examples), BATCH_SIZE, seed=0, epoch=epoch, shuffle=True, last_batch="short")

    member = Member(
        model.trained(),
        AdamW(parameter_groups(model.trained(), net, 0.01, "none"), lr=2e-4, eps=1e-6),
        Schedule(10**9, 0, 2e-4),
        Steps(order, examples, 10**9),
        label_smoothing=SMOOTHING,
        draws=draws,
    )
    net.train()
    with placement.autocast():
        for event in fit(model, [member], objective, ProcessGroup()):
            if isinstance(event, Stepped):
                yield event.num_tokens


def trainer_steps(setting: Setting) -> StepTokens:
    """Trainer and PEFT with their defaults: padded to the longest row of a batch, loss on all tokens."""
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

    net, tokenizer, pairs = _start(setting, dropout=None)
    tokenizer.pad_token = tokenizer.eos_token
    model = _with_peft(net)
    examples = [{"input_ids": [*prompt, *completion]} for prompt, completion in _token_ids(tokenizer, pairs)]
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    counted = _Counting(collator)
    arguments = TrainingArguments(**_arguments(setting))
    return counted.steps(Trainer(model=model, args=arguments, train_dataset=examples, data_collator=counted))


def tuned_steps(setting: Setting) -> StepTokens:
    """Trainer and PEFT with what their documents offer for such rows: like lengths together, labels on completions."""
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    net, tokenizer, pairs = _start(setting)
    tokenizer.pad_token = tokenizer.eos_token
    model = _with_peft(net)
    examples = [
        {"input_ids": [*prompt, *completion], "labels": [-100] * len(prompt) + completion}
        for prompt, completion in _token_ids(tokenizer, pairs)
    ]
    counted = _Counting(DataCollatorForSeq2Seq(tokenizer))
    arguments = TrainingArguments(**_arguments(setting), train_sampling_strategy="group_by_length")
    return counted.steps(Trainer(model=model, args=arguments, train_dataset=examples, data_collator=counted))


def trl_steps(setting: Setting) -> StepTokens:
    """trl's SFTTrainer with PEFT: loss on completions, its own collator."""
    from datasets import Dataset

    trl = importlib.import_module("trl")
    net, tokenizer, pairs = _start(setting, dropout=None)
    tokenizer.pad_token = tokenizer.eos_token
    rows = [
        {"input_ids": [*prompt, *completion], "completion_mask": [0] * len(prompt) + [1] * len(completion)}
        for prompt, completion in _token_ids(tokenizer, pairs)
    ]
    arguments = trl.SFTConfig(**_arguments(setting), gradient_checkpointing=False, completion_only_loss=True)
    trainer = trl.SFTTrainer(
        model=net,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=_peft_config(net),
    )
    counted = _Counting(trainer.data_collator)
    trainer.data_collator = counted
    return counted.steps(trainer)


class _Counting:
    """A collator that counts the real tokens of every batch."""

    def __init__(self, collator: Any) -> None:
        self.collator, self.tokens = collator, list[int]()

    def __call__(self, features: Any, *rest: Any, **options: Any) -> Any:
        self.tokens.append(sum(len(feature["input_ids"]) for feature in features))
        return self.collator(features, *rest, **options)

    def steps(self, trainer: Any) -> StepTokens:
        """One step of a Trainer each time it is asked."""
        from transformers import TrainerCallback

        done, go_on = queue.Queue[int](), queue.Queue[None]()
        tokens = self.tokens

        class Pause(TrainerCallback):
            """Waits after each step until the next one is asked for."""

            def on_step_end(self, *_: Any, **__: Any) -> None:
                done.put(tokens.pop(0))
                go_on.get()

        trainer.add_callback(Pause())
        threading.Thread(target=trainer.train, daemon=True).start()
        while True:
            yield done.get()
            go_on.put(None)


def _arguments(setting: Setting) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": BATCH_SIZE,
        "max_steps": 10**6,
        "learning_rate": 2e-4,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "use_cpu": setting.device == "cpu",
        "bf16": setting.dtype == "bfloat16",
        "disable_tqdm": True,
    }


def _peft_config(net: Any) -> Any:
    from peft import LoraConfig

    is_gpt2 = net.config.model_type == "gpt2"
    return LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=DROPOUT,
        target_modules=["c_attn"] if is_gpt2 else ["q_proj", "v_proj"],
        fan_in_fan_out=is_gpt2,
        task_type="CAUSAL_LM",
    )


def _with_peft(net: Any) -> Any:
    from peft import get_peft_model

    return get_peft_model(net, _peft_config(net))


def _token_ids(tokenizer: Any, pairs: list[Any]) -> list[tuple[list[int], list[int]]]:
    eos = tokenizer.eos_token_id
    return [
        ([*tokenizer(p.prompt).input_ids, eos], [*tokenizer(" " + p.completion).input_ids, eos])
        for p in pairs
    ]


def padded_steps(setting: Setting) -> StepTokens:
    """The way of the paper's code (examples/NLG/src of microsoft/LoRA), on Hugging Face's GPT-2."""
    import loralib
    import torch

    from lorafit.data.encoding.encode import encode_pairs

    net, tokenizer, pairs = _start(setting)
    width = net.config.n_embd
    for block in net.transformer.h:
        conv = block.attn.c_attn
        layer = loralib.MergedLinear(
            width,
            3 * width,
            r=RANK,
            lora_alpha=ALPHA,
            lora_dropout=DROPOUT,
            enable_lora=[True, False, True],
            fan_in_fan_out=True,
            merge_weights=False,
        )
        layer.weight.data, layer.bias.data = conv.weight.data, conv.bias.data
        block.attn.c_attn = layer
    loralib.mark_only_lora_as_trainable(net)
    net.to(setting.device).train()
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=2e-4, eps=1e-6)
    encoded = encode_pairs(tokenizer, pairs)
    while True:
        order = torch.randperm(len(encoded)).tolist()
        for start in range(0, len(order) - BATCH_SIZE, BATCH_SIZE):
            batch = [encoded[i] for i in order[start : start + BATCH_SIZE]]
            ids = torch.zeros(BATCH_SIZE, 512, dtype=torch.long)
            targets, mask = torch.zeros_like(ids), torch.zeros(BATCH_SIZE, 512)
            for row, example in enumerate(batch):
                inputs = example.inputs(512)
                ids[row, : len(inputs)] = torch.tensor(inputs)
                targets[row, : len(inputs)] = torch.tensor([*example.prompt_ids, *example.completion_ids][1:])
                mask[row, : len(inputs)] = torch.tensor(example.target_mask(512)).float()
            ids, targets, mask = (tensor.to(setting.device) for tensor in (ids, targets, mask))
            log_p = net(input_ids=ids).logits.float().log_softmax(-1)
            nll = -log_p.gather(-1, targets[..., None]).squeeze(-1)
            loss = (1 - SMOOTHING) * nll - SMOOTHING * log_p.mean(-1)
            ((loss * mask).sum() / (mask.sum() + 1e-4)).backward()
            optimizer.step()
            optimizer.zero_grad()
            yield sum(len(example.inputs(512)) for example in batch)


CONTENDERS: dict[str, tuple[Callable[[Setting], StepTokens], int]] = {  # and steps in a round
    "lorafit": (lorafit_steps, 8),
    "hf-trainer+peft": (trainer_steps, 4),
    "peft-tuned": (tuned_steps, 4),
    "trl-sft": (trl_steps, 4),
    "padded-512": (padded_steps, 1),
}
NEEDS = {
    "hf-trainer+peft": ("peft",),
    "peft-tuned": ("peft",),
    "trl-sft": ("peft", "trl"),
    "padded-512": ("loralib",),
}


def is_at_hand(name: str, shape: str) -> bool:
    """Whether its packages are installed; the paper's code knows GPT-2 alone."""
    found = all(importlib.util.find_spec(package) for package in NEEDS.get(name, ()))
    return found and (name != "padded-512" or SHAPES[shape]["model_type"] == "gpt2")


def _start(setting: Setting, dropout: float | None = 0.0) -> tuple[Any, Any, list[Any]]:
    """A random base, the tokenizer, and the rows. `dropout` None keeps the base's own (GPT-2: 0.1), as its users do."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GPT2Tokenizer

    from lorafit.tasks import load_rows, make_data, make_task

    torch.set_num_threads(1)
    torch.manual_seed(0)
    values = {**SHAPES[setting.shape]}
    if dropout is not None and values["model_type"] == "gpt2":
        values |= dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    net = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values))
    tokenizer = GPT2Tokenizer.from_pretrained(setting.tokenizer)
    pairs = load_rows(make_task("e2e"), make_data("e2e", train=str(setting.rows))).rows("train")
    return net, tokenizer, [*pairs]


def worker(name: str, setting: Setting, pipe: Connection) -> None:
    """Make the asked number of steps, and answer with tokens, seconds and peak memory, until told to stop."""
    import torch

    make, _ = CONTENDERS[name]
    steps = make(setting)
    next(steps)  # warm-up
    clock = time.process_time if setting.device == "cpu" else time.perf_counter
    while (count := pipe.recv()) is not None:
        tokens, started = 0, clock()
        for _ in range(count):
            tokens += next(steps)
        if setting.device != "cpu":
            torch.cuda.synchronize()
        on_gpu = setting.device != "cpu"
        peak = (
            torch.cuda.max_memory_allocated()
            if on_gpu
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        )
        pipe.send((tokens, clock() - started, peak))


def main() -> None:
    """Run the rounds and print a table."""
    parser = argparse.ArgumentParser(description="Speed and memory of a training step, side by side.")
    parser.add_argument("--rows", type=Path, default=ASSETS / "data" / "train.txt", help="E2E format")
    parser.add_argument("--tokenizer", type=Path, default=ASSETS / "base", help="Hugging Face folder")
    parser.add_argument("--shape", choices=SHAPES, default="gpt2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default=None, help="float32, or bfloat16 (the default on a GPU)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    options = parser.parse_args()
    options.only = [name for name in options.only if is_at_hand(name, options.shape)]
    dtype = options.dtype or ("float32" if options.device == "cpu" else "bfloat16")
    setting = Setting(options.rows, options.tokenizer, options.shape, options.device, dtype)
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn = multiprocessing.get_context("spawn")
    pipes, peaks = {}, {}
    speeds: dict[str, list[float]] = {name: [] for name in options.only}
    for name in options.only:
        pipes[name], theirs = spawn.Pipe()
        spawn.Process(target=worker, args=(name, setting, theirs), daemon=True).start()
    for number in range(options.rounds):
        for name, pipe in pipes.items():
            pipe.send(CONTENDERS[name][1])
            tokens, seconds, peaks[name] = pipe.recv()
            speeds[name].append(tokens / seconds)
            print(f"round {number + 1}  {name:<16} {tokens / seconds:8.1f} tokens/s", flush=True)
    for pipe in pipes.values():
        pipe.send(None)
    unit = "CPU-second" if options.device == "cpu" else "second"
    ours = statistics.median(speeds[options.only[0]])
    print(f"\n{'':<16} {'tokens/' + unit:>18} {'peak GB':>8} {options.only[0] + ' is faster by':>24}")
    for name in options.only:
        median = statistics.median(speeds[name])
        print(f"{name:<16} {median:18.1f} {peaks[name] / 1e9:8.2f} {ours / median:23.2f}x")


if __name__ == "__main__":
    recorded(main)
