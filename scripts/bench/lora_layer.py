"""What a LoRA layer costs beside its frozen base: lorafit, loralib and peft, interleaved in one run.

    python scripts/bench/lora_layer.py [--rounds 9] [--rank 4] [--rows 1024] [--threads 1] [--device cuda]

A linear layer 1024 -> 3072 (GPT-2 medium's c_attn) on 8 x 128 rows. lorafit and loralib adapt query and
value; peft, which has no slices, adapts all 3072 outputs, and so does "lorafit whole". Prints medians over
the rounds of process CPU time (on cuda: wall time): ms for the frozen layer, a ratio to it for the others.
loralib and peft are left out where they are not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from results import recorded
from torch import Tensor, nn

import lorafit.lora as lora

SIZE_IN, SIZE_OUT = 1024, 3072
QUERY_AND_VALUE = [True, False, True]
PHASES = ("forward, no grad", "forward", "forward + backward")


def contenders(r: int, dropout: float, device: str) -> dict[str, nn.Module]:
    """The frozen layer first, then each LoRA layer around it."""
    base = nn.Linear(SIZE_IN, SIZE_OUT, device=device).requires_grad_(False)
    options: dict[str, Any] = {"r": r, "lora_alpha": 8 * r, "lora_dropout": dropout}
    layers: dict[str, nn.Module] = {
        "frozen Linear": base,
        "lorafit q,v": lora.MergedLinear.from_base(base, enable_lora=QUERY_AND_VALUE, **options),
        "lorafit whole": lora.Linear.from_base(base, **options),
    }
    if importlib.util.find_spec("loralib"):
        import loralib

        merged = loralib.MergedLinear(SIZE_IN, SIZE_OUT, enable_lora=QUERY_AND_VALUE, **options).to(device)
        loralib.mark_only_lora_as_trainable(merged)
        layers["loralib q,v"] = merged
    if importlib.util.find_spec("peft"):
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(target_modules=["0"], **options)
        layers["peft whole"] = get_peft_model(nn.Sequential(base), config).get_submodule("base_model.model.0")
    return layers


def seconds(call: Callable[[], object], device: str) -> float:
    """Process CPU time of one call; on cuda, wall time until the device has done it."""
    if device != "cuda":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(layer: nn.Module, x: Tensor, grad: Tensor) -> tuple[float, ...]:
    """Seconds for each of PHASES."""
    with torch.no_grad():
        inference = seconds(lambda: layer(x), x.device.type)
    forward = seconds(lambda: layer(x), x.device.type)
    both = seconds(lambda: layer(x).backward(grad), x.device.type)
    return inference, forward, both


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    x = torch.randn(8, arguments.rows // 8, SIZE_IN, device=arguments.device, requires_grad=True)
    grad = torch.randn(8, arguments.rows // 8, SIZE_OUT, device=arguments.device)
    for dropout in (0.0, 0.1):
        layers = contenders(arguments.rank, dropout, arguments.device)
        times: dict[str, list[tuple[float, ...]]] = {name: [] for name in layers}
        for i in range(arguments.rounds + 1):
            for name, layer in layers.items():
                measured = measure(layer, x, grad)
                if i > 0:  # the first round warms up
                    times[name].append(measured)
        print(f"\n{f'dropout {dropout}':16}" + "".join(f"{phase:>20}" for phase in PHASES))
        base = [statistics.median(column) for column in zip(*times["frozen Linear"], strict=True)]
        for name, rounds in times.items():
            medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
            is_base = name == "frozen Linear"
            cells = [
                f"{m * 1e3:.1f} ms" if is_base else f"{m / b:.2f} x"
                for m, b in zip(medians, base, strict=True)
            ]
            print(f"{name:16}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    recorded(main)
