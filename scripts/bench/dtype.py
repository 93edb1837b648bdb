"""From which width on does a model train faster in bfloat16 on this CPU?

    python scripts/bench/dtype.py [--widths 128 256 384 512 640 768 1024] [--threads 1]

Forward and backward of GPT-2s of six layers with LoRA, eight packed rows of 59 tokens, in float32 and bfloat16 in turn;
medians of process CPU time. Prints what the processor can do in 16 bits, and how many times faster bfloat16 is:
`lorafit.models.placement.GAINS_FROM` is made of this table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from results import recorded
from transformers import GPT2Config, GPT2LMHeadModel

from lorafit.data.batches import pack
from lorafit.data.encoding.encode import EncodedPair
from lorafit.lora import Draws, draw_from
from lorafit.methods import LoRA
from lorafit.models import Model, family_of, fuse_activations, take_packed_rows
from lorafit.models.placement import Placement
from lorafit.training import language_model_loss_sums

VOCAB_SIZE, NUM_LAYERS, HEAD_WIDTH = 8192, 6, 64
LENGTHS = (31, 28)  # of context and completion, as E2E has them


def step(width: int, dtype: torch.dtype) -> Callable[[], None]:
    """A forward and backward pass of eight rows, on a model of its own."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCAB_SIZE, n_embd=width, n_layer=NUM_LAYERS, n_head=max(width // HEAD_WIDTH, 1)
    )
    net = GPT2LMHeadModel(config)
    fuse_activations(net)
    take_packed_rows(net)
    model, draws = Model(net, None, family_of(config), "text"), Draws(seed=0)
    LoRA(r=4, alpha=32, dropout=0.1).attach(model, draws.init())
    placement = Placement(torch.device("cpu"), dtype)
    placement.place(net)
    draw_from(net, draws)
    net.train()
    prompt, completion = (tuple(torch.randint(VOCAB_SIZE, (length,)).tolist()) for length in LENGTHS)
    batch = pack([EncodedPair(prompt, completion)] * 8, 512)

    def make() -> None:
        with placement.autocast():
            language_model_loss_sums(net, batch, [0.1]).sum().backward()

    return make


def seconds(call: Callable[[], None]) -> float:
    """Process CPU time."""
    started = time.process_time()
    call()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256, 384, 512, 640, 768, 1024])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    capabilities = torch.cpu.get_capabilities()
    print({name: can for name, can in capabilities.items() if "bf16" in name or "fp16" in name})
    print(f"{'width':>6}{'float32 ms':>12}{'bfloat16 ms':>13}{'bfloat16 is faster by':>23}")
    for width in options.widths:
        steps = [step(width, dtype) for dtype in (torch.float32, torch.bfloat16)]
        times = [[seconds(each) for each in steps] for _ in range(options.rounds + 1)][1:]
        plain, half = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{width:6}{plain * 1e3:12.1f}{half * 1e3:13.1f}{plain / half:22.2f}x")


if __name__ == "__main__":
    recorded(main)
