"""Tokens per second, share of the peak rate (MFU) and peak memory of LoRA training on a GPU: lorafit beside PEFT.

    scripts/bench/gpu.sh [--only e2e-gpt2-medium ...] [--steps 30] [--tiny] [--write]

Random weights of the true shapes and random ids in rows of real lengths, for time depends on the values of neither; so
no hub is needed. bfloat16, no gradient checkpointing; every figure is of a process of its own.

    e2e-gpt2-medium    GPT-2 medium, rows as long as E2E's, batch 8, r = 4 on query and value, dropout .1
    mnli-roberta-base  RoBERTa-base with a head for 3 classes, pairs as long as MNLI's, batch 16, r = 8
    llama-1b, llama-3b the shapes of Llama 3.2, rows as long as MetaMathQA's, batch 4, r = 32 on q and v (PEFT's own
                       method comparison has 4,457 tokens/s and 20.8 GiB for the latter on an L40S)

`lorafit` is this program's training loop, `lorafit compiled` the same with `train.compile`, measured when its graphs
are made. `lorafit x9` trains nine members on one base together; its tokens are those of all. `peft` is transformers'
Trainer with PEFT: rows padded to the longest of a batch, loss on completions. Tokens are those of the rows, without
padding. MFU counts what must be computed: forward and backward through the frozen matrices (4 operations a weight and
token), attention, and the output layer where a token is to be predicted; of the peak that the vendor names for dense
bfloat16, or else of what a bare product reaches here.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from results import recorded

if TYPE_CHECKING:
    import torch

SEED, SMOOTHING, ALPHA, NUM_ROWS, WARM_UP = 0, 0.1, 32.0, 2048, 5
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12}

# Deciles of lengths in tokens: of E2E's contexts and texts (GPT-2), MNLI's pairs (RoBERTa), MetaMathQA's (Llama).
E2E = ((15, 21, 26, 30, 31, 32, 34, 37, 37, 39, 41), (7, 17, 21, 23, 26, 28, 30, 32, 34, 38, 84))
MNLI = ((6, 18, 23, 27, 31, 36, 41, 46, 53, 64, 128), (0,))
MATH = ((18, 34, 42, 50, 57, 64, 72, 82, 96, 118, 300), (20, 68, 88, 106, 125, 146, 170, 200, 244, 320, 460))


@dataclass(frozen=True)
class Case:
    """What is trained: a shape, rows, and LoRA."""

    model_type: str
    shape: dict[str, Any]
    lengths: tuple[Sequence[int], Sequence[int]]
    batch_size: int
    r: int
    dropout: float
    peft_targets: tuple[str, ...]

    @property
    def gives_labels(self) -> bool:
        return self.model_type == "roberta"

    def rows(self, vocab_size: int) -> list[tuple[list[int], list[int]]]:
        """Ids of prompts and completions; of what gets a label, of the text and none."""
        draw = random.Random(SEED)

        def ids(deciles: Sequence[int]) -> list[int]:
            tenth = draw.randrange(max(len(deciles) - 1, 1))
            length = draw.randint(deciles[tenth], deciles[min(tenth + 1, len(deciles) - 1)])
            return [draw.randrange(5, vocab_size) for _ in range(length)]

        return [(ids(self.lengths[0]), ids(self.lengths[1])) for _ in range(NUM_ROWS)]


LLAMA = {"vocab_size": 128_256, "num_key_value_heads": 8, "tie_word_embeddings": True}
QV = ("q_proj", "v_proj")
CASES = {
    "e2e-gpt2-medium": Case(
        "gpt2",
        {
            "n_embd": 1024,
            "n_layer": 24,
            "n_head": 16,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
        },
        E2E,
        8,
        4,
        0.1,
        ("c_attn",),
    ),
    "mnli-roberta-base": Case(
        "roberta",
        {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1},
        MNLI,
        16,
        8,
        0.1,
        ("query", "value"),
    ),
    "llama-1b": Case(
        "llama",
        {
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            **LLAMA,
        },
        MATH,
        4,
        32,
        0.0,
        QV,
    ),
    "llama-3b": Case(
        "llama",
        {
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "num_hidden_layers": 28,
            "num_attention_heads": 24,
            **LLAMA,
        },
        MATH,
        4,
        32,
        0.0,
        QV,
    ),
}


@dataclass(frozen=True)
class Setting:
    """How it is measured. `tiny`: two layers, so that every way can be gone on a CPU."""

    case: Case
    num_steps: int
    tiny: bool

    @property
    def device(self) -> str:
        return "cpu" if self.tiny else "cuda"

    def net(self, **more: Any) -> Any:
        """A net with random weights, made on the device."""
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

        from lorafit.models import FAMILIES

        torch.manual_seed(SEED)
        case, labels = self.case, dict[str, Any]({"num_labels": 3} if self.case.gives_labels else {})
        if self.tiny:
            sizes: dict[str, Any] = {"vocab_size": 300, "max_position_embeddings": 1024}
            config = FAMILIES[case.model_type].tiny_config(**sizes, **labels)
        else:
            config = AutoConfig.for_model(case.model_type, **case.shape, **labels)
        auto: Any = AutoModelForSequenceClassification if case.gives_labels else AutoModelForCausalLM
        with torch.device(self.device):
            return auto.from_config(config, **more)

    def synchronize(self) -> None:
        """Wait for the device."""
        import torch

        if not self.tiny:
            torch.cuda.synchronize()


Measured = tuple[float, Any]
"""Examples per second, all members together, and the net."""


def lorafit_training(setting: Setting, num_members: int = 1, *, compiled: bool = False) -> Measured:
    """The product's own loop, on packed rows. Where it is `compiled`, every step is made once before it is measured."""
    import torch

    from lorafit import lora
    from lorafit.data.encoding.encode import EncodedPair
    from lorafit.data.encoding.labelled import EncodedText
    from lorafit.methods import LoRA
    from lorafit.models import Model, family_of, fuse_activations
    from lorafit.models.placement import Placement
    from lorafit.objectives import BaseFacts, Settings, objective_for
    from lorafit.recipe import DataSection, DecodeSection, EvalSection
    from lorafit.tasks import make_task
    from lorafit.training import (
        AdamW,
        Member,
        ProcessGroup,
        Schedule,
        Stepped,
        Steps,
        compile_blocks,
        fit,
        parameter_groups,
    )

    case, net = setting.case, setting.net()
    fuse_activations(net)
    family = family_of(net.config)
    sections = Settings(DataSection(max_length=1024), DecodeSection(), EvalSection())
    task = make_task("mnli" if case.gives_labels else "e2e").resolve(iter(()))
    objective = objective_for(task, BaseFacts(net.config, family), sections)
    model = Model(net, None, family, task.output)
    objective.prepare(model)
    rows = case.rows(net.config.vocab_size)
    examples: list[Any] = [
        EncodedText(tuple(text), None, i % 3)
        if case.gives_labels
        else EncodedPair(tuple(text), tuple(completion))
        for i, (text, completion) in enumerate(rows)
    ]
    total = (WARM_UP + setting.num_steps) * (1 + compiled)
    placement = Placement(torch.device(setting.device), torch.bfloat16)
    size = case.batch_size
    order = [[*range(i, i + size)] for i in range(0, NUM_ROWS - size + 1, size)]
    order = order[: WARM_UP + setting.num_steps]
    together, members = lora.Members(net, net.base_model), []
    for seed in range(num_members):
        draws = lora.Draws(seed)
        LoRA(r=case.r, alpha=ALPHA, dropout=case.dropout).attach(model, draws.init())
        placement.place(net)
        with own_parameters(together, draws, net, is_alone=num_members == 1):
            trained = model.trained()
            optimizer = AdamW(parameter_groups(trained, net, 0.01, "none"), lr=2e-4)
        steps = Steps(lambda _: order, examples, total)
        schedule = Schedule(total, 0, 2e-4)
        smoothing = 0.0 if case.gives_labels else SMOOTHING
        members.append(Member(trained, optimizer, schedule, steps, label_smoothing=smoothing, draws=draws))
    if compiled:
        compile_blocks(replace(model, placement=placement), members[0], objective, ProcessGroup())
    net.train()
    begins, started = (total - setting.num_steps, num_members - 1), 0.0
    with placement.autocast(), together.together() if num_members > 1 else nullcontext():
        for event in fit(model, members, objective, ProcessGroup()):
            if isinstance(event, Stepped) and (event.step, event.member) == begins:
                setting.synchronize()
                started = time.perf_counter()
    setting.synchronize()
    return num_members * setting.num_steps * size / (time.perf_counter() - started), net


@contextmanager
def own_parameters(members: Any, draws: Any, net: Any, *, is_alone: bool) -> Iterator[None]:
    """What trains inside the block is that of the member which was attached last."""
    from lorafit.lora import draw_from

    if is_alone:
        draw_from(net, draws)
        yield
        return
    with members.alone(members.add(draws)):
        yield


def peft_training(setting: Setting) -> Measured:
    """Trainer and PEFT, the frozen weights in bfloat16 and the adapter in float32."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments

    case, net = setting.case, setting.net(dtype=torch.bfloat16)
    model = get_peft_model(
        net,
        LoraConfig(
            r=case.r,
            lora_alpha=int(ALPHA),
            lora_dropout=case.dropout,
            target_modules=list(case.peft_targets),
            fan_in_fan_out=case.model_type == "gpt2",
            task_type="SEQ_CLS" if case.gives_labels else "CAUSAL_LM",
        ),
    )

    class Clock(TrainerCallback):
        """Starts when the warm-up is done."""

        started = stopped = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            del args, control
            if state.global_step == WARM_UP:
                setting.synchronize()
                self.started = time.perf_counter()
            if state.global_step == WARM_UP + setting.num_steps:
                setting.synchronize()
                self.stopped = time.perf_counter()

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=case.batch_size,
            max_steps=WARM_UP + setting.num_steps,
            learning_rate=2e-4,
            label_smoothing_factor=0.0 if case.gives_labels else SMOOTHING,
            bf16=True,
            use_cpu=setting.tiny,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        rows: Any = [*enumerate(case.rows(net.config.vocab_size))]
        Trainer(model, arguments, padded_batch(case), rows, callbacks=[clock]).train()
    return setting.num_steps * case.batch_size / (clock.stopped - clock.started), net


def padded_batch(case: Case) -> Callable[[Any], dict[str, Any]]:
    """Rows -> tensors as wide as the longest; what is not learned has the label -100."""
    import torch

    def collate(rows: Sequence[tuple[int, tuple[list[int], list[int]]]]) -> dict[str, Any]:
        width = max(len(text) + len(completion) for _, (text, completion) in rows)

        def padded(values: list[int], filling: int) -> list[int]:
            return values + [filling] * (width - len(values))

        labels = [padded([-100] * len(text) + completion, -100) for _, (text, completion) in rows]
        return {
            "input_ids": torch.tensor([padded(text + completion, 1) for _, (text, completion) in rows]),
            "attention_mask": torch.tensor(
                [padded([1] * len(text + completion), 0) for _, (text, completion) in rows]
            ),
            "labels": torch.tensor([i % 3 for i, _ in rows] if case.gives_labels else labels),
        }

    return collate


CONTENDERS: dict[str, Callable[[Setting], Measured]] = {
    "lorafit": lorafit_training,
    "lorafit compiled": lambda setting: lorafit_training(setting, compiled=True),
    "lorafit x9": lambda setting: lorafit_training(setting, num_members=9),
    "peft": peft_training,
}
NINE = ("e2e-gpt2-medium", "mnli-roberta-base")  # the cases of which a sweep is made


def operations_per_example(case: Case, net: Any) -> float:
    """What forward and backward must compute of a row, in the mean; adapters are left out."""
    config, body = net.config, net.base_model
    embeddings = {
        id(p)
        for module in body.modules()
        if "Embedding" in type(module).__name__
        for p in module.parameters()
    }
    weights = sum(
        p.numel()
        for n, p in body.named_parameters()
        if p.dim() == 2 and id(p) not in embeddings and "lora_" not in n
    )
    head = 0 if case.gives_labels else config.vocab_size * config.hidden_size
    rows = case.rows(config.vocab_size)
    tokens = sum(len(text) + len(completion) for text, completion in rows)
    pairs = sum((len(text) + len(completion)) ** 2 for text, completion in rows)
    seen = 1.0 if case.gives_labels else 0.5  # of all pairs of tokens: a decoder looks back only
    attention = 3 * 4 * seen * pairs * config.hidden_size * config.num_hidden_layers
    targets = sum(len(completion) for _, completion in rows)
    return float(4 * weights * tokens + 4 * head * targets + attention) / len(rows)


def peak_rate(device: str) -> tuple[float, str]:
    """Operations per second in bfloat16 that the vendor names, or the most that a bare product reaches; which it is."""
    import torch

    if device == "cuda":
        name = torch.cuda.get_device_name()
        known = [rate for card, rate in PEAKS.items() if card in name.replace("-", " ").split()]
        if known:
            return known[0], f"{name}, {known[0] / 1e12:.0f} TFLOP/s by its vendor"
    on_gpu = device == "cuda"
    size, dtypes = (8192, [torch.bfloat16]) if on_gpu else (512, [torch.bfloat16, torch.float32])
    rates = {
        dtype: bare_product(size, device, dtype) for dtype in dtypes
    }  # many processors are slow in bfloat16
    dtype, rate = max(rates.items(), key=lambda item: item[1])
    of = str(dtype).removeprefix("torch.")
    return rate, f"{rate / 1e12:.2f} TFLOP/s by a bare product of {size} x {size} in {of}"


def bare_product(size: int, device: str, dtype: torch.dtype) -> float:
    """Operations per second of a product of two square matrices, the best of ten."""
    import torch

    one = torch.randn(size, size, device=device, dtype=dtype)
    _ = (one @ one)[0, 0].item()
    times = []
    for _ in range(10):
        started = time.perf_counter()
        _ = (one @ one)[0, 0].item()
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times)


def worker(name: str, contender: str, num_steps: int, *, tiny: bool) -> None:
    """Train, and write what was measured as JSON."""
    import torch

    from lorafit.training import compiled

    if tiny:
        compiled.BACKEND = "eager"  # C++ would take its compiler minutes
    setting = Setting(CASES[name], num_steps, tiny)
    per_second, net = CONTENDERS[contender](setting)
    rows = setting.case.rows(net.config.vocab_size)
    mean_tokens = sum(len(text) + len(completion) for text, completion in rows) / len(rows)
    on_cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rate, said = peak_rate(setting.device)
    found = {
        "tokens_per_s": per_second * mean_tokens,
        "mfu": per_second * operations_per_example(setting.case, net) / rate,
        "peak_bytes": on_cpu if tiny else torch.cuda.max_memory_allocated(),
        "peak_rate": said,
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--tiny", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        name, contender = args.worker
        worker(name, contender, args.steps, tiny=args.tiny)
        return
    if not args.tiny and not has_gpu():
        raise SystemExit("no GPU here; --tiny goes every way once on the CPU")
    print(f"{'':20}{'':18}{'tokens/s':>12}{'MFU':>8}{'peak GiB':>10}")
    rates = set()
    for name in args.only:
        for contender in CONTENDERS:
            if contender == "lorafit x9" and name not in NINE:
                continue
            found = measure(name, contender, args)
            rates.add(str(found["peak_rate"]))
            figures = f"{found['tokens_per_s']:12,.0f}{found['mfu']:8.1%}{found['peak_bytes'] / 2**30:10.2f}"
            print(f"{name:20}{contender:18}{figures}", flush=True)
    print(f"MFU of {'; '.join(sorted(rates))}")


def measure(name: str, contender: str, args: argparse.Namespace) -> dict[str, Any]:
    """What a process of its own says."""
    command = [sys.executable, __file__, "--worker", name, contender, "--steps", str(args.steps)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        command + ["--tiny"] * args.tiny, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    recorded(main)
