"""Beam search: lorafit against Hugging Face `generate`, in one run, interleaved.

A base of the chosen shape with random weights: time does not depend on their values, and as nothing ends
early every prompt costs all its tokens. The clock is process CPU time on one thread, or wall time on a GPU.
Both search with the same options; their rules differ a little, so the texts may (see
`lorafit.decoding.BeamSearch`).

    python scripts/bench/decode.py --data valid.txt --tokenizer gpt2-tokenizer/
    python scripts/bench/decode.py --shape gemma3-270m --beams 4 --batch-sizes 8 --dtype bfloat16
    python scripts/bench/decode.py --shape gpt2-medium --device cuda --dtype bfloat16 --batch-sizes 16 64
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from results import recorded
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Tokenizer, PreTrainedModel

from lorafit.decoding import BeamSearch, generate_all
from lorafit.models import fuse_activations
from lorafit.models.placement import Placement

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {  # model type and what its config needs
    "gpt2": ("gpt2", {}),
    "gpt2-medium": ("gpt2", {"n_embd": 1024, "n_layer": 24, "n_head": 16}),
    "gpt2-large": ("gpt2", {"n_embd": 1280, "n_layer": 36, "n_head": 20}),
    "gemma3-270m": (
        "gemma3_text",
        {
            "vocab_size": 262144,
            "hidden_size": 640,
            "num_hidden_layers": 18,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "intermediate_size": 2048,
            "sliding_window": 512,
            "query_pre_attn_scalar": 256,
            "max_position_embeddings": 32768,
        },
    ),
}
MIN_PROMPTS = 4  # for one timing
SEPARATOR = 50256

Decoder = Callable[[list[list[int]], int], list[list[int]]]


def lorafit(net: PreTrainedModel, search: BeamSearch) -> Decoder:
    """Our decoder, on the base as we load and place it."""
    ours = copy.deepcopy(net).requires_grad_(False)
    fuse_activations(ours)
    Placement(net.device, net.dtype).place(ours)
    return lambda prompts, batch_size: generate_all(ours, prompts, search, batch_size=batch_size)


def hugging_face(net: Any, search: BeamSearch) -> Decoder:
    """`generate` on left-padded batches, the longest prompts first as in ours."""

    def decode(prompts: list[list[int]], batch_size: int) -> list[list[int]]:
        outputs: list[list[int]] = []
        ordered = sorted(prompts, key=len, reverse=True)
        for start in range(0, len(ordered), batch_size):
            batch = ordered[start : start + batch_size]
            width = len(batch[0])
            ids = torch.tensor([[SEPARATOR] * (width - len(p)) + p for p in batch], device=net.device)
            mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in batch], device=net.device)
            result = net.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                num_beams=search.num_beams,
                length_penalty=search.length_penalty,
                no_repeat_ngram_size=search.no_repeat_ngram_size,
                max_new_tokens=search.max_new_tokens,
                eos_token_id=list(search.eos_token_ids),
                pad_token_id=SEPARATOR,
            )
            outputs += result[:, width:].tolist()
        return outputs

    return decode


CONTENDERS: dict[str, Callable[[PreTrainedModel, BeamSearch], Decoder]] = {
    "lorafit": lorafit,
    "hugging face": hugging_face,
}


def read_prompts(options: argparse.Namespace, num_prompts: int) -> list[list[int]]:
    """Distinct contexts of a raw E2E file, or random ids of such lengths (31.5 in the mean, 42 at most)."""
    rng = random.Random(0)
    if options.data is None:
        lengths = [round(rng.triangular(16, 42, 36.5)) for _ in range(num_prompts)]
        return [[rng.randrange(SEPARATOR) for _ in range(length - 1)] + [SEPARATOR] for length in lengths]
    tokenizer = GPT2Tokenizer.from_pretrained(options.tokenizer)
    lines = options.data.read_text(encoding="utf-8").splitlines()
    contexts = sorted({line.partition("||")[0] for line in lines})
    return [[*tokenizer(context)["input_ids"], SEPARATOR] for context in rng.sample(contexts, num_prompts)]


def build_net(options: argparse.Namespace) -> PreTrainedModel:
    """A base with random weights."""
    torch.manual_seed(0)
    model_type, sizes = SHAPES[options.shape]
    config = AutoConfig.for_model(model_type, **sizes)
    net: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    net.to(options.device, getattr(torch, options.dtype))
    net.eval()
    return net


def seconds(decode: Callable[[], object], device: str) -> float:
    """What one call costs: CPU seconds, or wall seconds on a GPU."""
    if device == "cpu":
        start = time.process_time()
        decode()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    decode()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="raw E2E file (`slots||text`); without it, random prompts")
    parser.add_argument("--tokenizer", default="gpt2", help="GPT-2 tokenizer, for --data")
    parser.add_argument("--shape", choices=SHAPES, default="gpt2")
    parser.add_argument("--beams", type=int, default=10)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    return parser.parse_args()


def main() -> None:
    """Time every decoder at every batch size, round by round, and print medians and the ratio of the best."""
    options = parse_options()
    torch.set_num_threads(1)
    search = BeamSearch(num_beams=options.beams, max_new_tokens=options.max_new_tokens)
    net = build_net(options)
    decoders = {name: CONTENDERS[name](net, search) for name in options.only}
    prompts = read_prompts(options, max(*options.batch_sizes, MIN_PROMPTS))
    for decode in decoders.values():
        decode(prompts[:1], 1)  # warm up

    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for batch_size in options.batch_sizes:
            chosen = prompts[: max(batch_size, MIN_PROMPTS)]
            for name, decode in decoders.items():
                cost = seconds(lambda d=decode, c=chosen, b=batch_size: d(c, b), options.device)  # type: ignore[misc]
                rates.setdefault((name, batch_size), []).append(len(chosen) / cost)
                print(f"{name:>12}  batch {batch_size:>3}  {cost / len(chosen):8.3f} s/example", flush=True)

    best = {name: max(statistics.median(r) for (n, _), r in rates.items() if n == name) for name in decoders}
    unit = "CPU-second" if options.device == "cpu" else "second"
    for name, rate in best.items():
        print(f"{name:>12}  best median {rate:.3f} examples per {unit}")
    if len(best) > 1:
        print(f"{'ratio':>12}  {best['lorafit'] / best['hugging face']:.2f}")


if __name__ == "__main__":
    recorded(main)
