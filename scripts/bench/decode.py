"""Beam search: lorafit against Hugging Face `generate`, in one run, interleaved.

GPT-2 of the chosen size with random weights: time does not depend on their values, and as nothing ends
early every prompt costs all its tokens. The clock is process CPU time on one thread, or wall time on a GPU.
Both search with the same options; their rules differ a little, so the texts may (see
`lorafit.decoding.BeamSearch`).

    python scripts/bench/decode.py --data valid.txt --tokenizer gpt2-tokenizer/
    python scripts/bench/decode.py --size medium --device cuda --dtype bfloat16 --batch-sizes 16 64
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from lorafit.decoding import BeamSearch, generate_all

SIZES = {"small": (768, 12, 12), "medium": (1024, 24, 16), "large": (1280, 36, 20)}  # width, layers, heads
MIN_PROMPTS = 4  # for one timing
SEPARATOR = 50256

Decoder = Callable[[Any, list[list[int]], int], list[list[int]]]


def lorafit(search: BeamSearch) -> Decoder:
    """Our decoder."""
    return lambda net, prompts, batch_size: generate_all(net, prompts, search, batch_size=batch_size)


def hugging_face(search: BeamSearch) -> Decoder:
    """`generate` on left-padded batches, the longest prompts first as in ours."""

    def decode(net: Any, prompts: list[list[int]], batch_size: int) -> list[list[int]]:
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


def build_net(options: argparse.Namespace) -> GPT2LMHeadModel:
    """GPT-2 with random weights."""
    torch.manual_seed(0)
    width, layers, heads = SIZES[options.size]
    config = GPT2Config(n_embd=width, n_layer=layers, n_head=heads)
    net: GPT2LMHeadModel = GPT2LMHeadModel(config).eval().to(options.device, getattr(torch, options.dtype))
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
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    return parser.parse_args()


def main() -> None:
    """Time every decoder at every batch size, round by round, and print medians and the ratio of the best."""
    options = parse_options()
    torch.set_num_threads(1)
    search = BeamSearch(max_new_tokens=options.max_new_tokens)
    decoders = {"lorafit": lorafit(search), "hugging face": hugging_face(search)}
    prompts = read_prompts(options, max(*options.batch_sizes, MIN_PROMPTS))
    net = build_net(options)
    for decode in decoders.values():
        decode(net, prompts[:1], 1)  # warm up

    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for batch_size in options.batch_sizes:
            chosen = prompts[: max(batch_size, MIN_PROMPTS)]
            for name, decode in decoders.items():
                cost = seconds(lambda d=decode, c=chosen, b=batch_size: d(net, c, b), options.device)  # type: ignore[misc]
                rates.setdefault((name, batch_size), []).append(len(chosen) / cost)
                print(f"{name:>12}  batch {batch_size:>3}  {cost / len(chosen):8.3f} s/example", flush=True)

    best = {name: max(statistics.median(r) for (n, _), r in rates.items() if n == name) for name in decoders}
    unit = "CPU-second" if options.device == "cpu" else "second"
    for name, rate in best.items():
        print(f"{name:>12}  best median {rate:.3f} examples per {unit}")
    print(f"{'ratio':>12}  {best['lorafit'] / best['hugging face']:.2f}")


if __name__ == "__main__":
    main()
