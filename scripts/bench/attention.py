"""Which attention trains faster on this CPU: torch's kernel, or softmax(q k^T) v in products?

    python scripts/bench/attention.py [--dtype bfloat16] [--tokens 512] [--threads 1]

Causal texts of several lengths, as many as make up `--tokens`, 12 heads of 64, forward and backward; medians of process
CPU time. lorafit takes the products on CPUs in 16 bits up to the length from where on the kernel is faster.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from results import recorded
from torch import Tensor, nn

from lorafit.models.attention import packing

LENGTHS = (32, 64, 128, 256, 512, 1024, 2048)
NUM_HEADS, WIDTH = 12, 64


def seconds(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, grad: Tensor) -> float:
    """CPU time of one forward and backward pass."""
    started = time.process_time()
    out, _ = packing.packed_attention(module, query, key, value, None, is_causal=True)
    torch.autograd.grad(out, (query, key, value), grad)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dtype = getattr(torch, options.dtype)
    print(f"{'length':>8}{'kernel ms':>12}{'products ms':>14}{'products are faster by':>26}")
    for length in LENGTHS:
        shape = max(options.tokens // length, 1), length, NUM_HEADS, WIDTH
        query, key, value = (
            torch.randn(shape, dtype=dtype).transpose(1, 2).requires_grad_() for _ in range(3)
        )
        grad = torch.randn(shape, dtype=dtype)
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(options.rounds + 1):
            for in_products, measured in times.items():
                packing.PRODUCTS_UP_TO = {dtype: LENGTHS[-1] if in_products else 0}
                measured.append(seconds(nn.Module(), query, key, value, grad))
        kernel, products = (statistics.median(measured[1:]) for measured in times.values())
        print(f"{length:8}{kernel * 1e3:12.2f}{products * 1e3:14.2f}{kernel / products:25.2f}x")


if __name__ == "__main__":
    recorded(main)
