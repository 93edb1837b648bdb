"""Which number format a base is held in, and why; GPU memory that runs out is an error that says what to lower."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lorafit.errors import OutOfMemoryError, SetKey
from lorafit.models.placement import Placement, clear_out_of_memory, fastest_on_cpu

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "width", "dtype", "why"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, 768, torch.bfloat16, "amx_bf16, and the base is 768 wide"),
        ({"amx_bf16": True, "avx512_bf16": True}, 640, torch.bfloat16, "640 wide"),
        ({"amx_bf16": True, "avx512_bf16": True}, 128, torch.float32, "the base is 128 wide"),
        ({"amx_bf16": True}, None, torch.float32, "unknown width"),
        ({"amx_bf16": False, "avx512_bf16": True}, 384, torch.bfloat16, "avx512_bf16, and the base is"),
        ({"avx512_bf16": True}, 128, torch.float32, "avx512_bf16 pays from 256 on"),
        ({"architecture": "aarch64"}, 4096, torch.float32, "no amx_bf16 or avx512_bf16"),
    ],
)
def test_a_processor_takes_bfloat16_where_a_model_gains_by_it(capabilities, width, dtype, why) -> None:
    chosen, reason = fastest_on_cpu(capabilities, width)
    assert chosen == dtype
    assert why in reason


def test_a_format_that_is_named_needs_no_reason() -> None:
    placement = Placement.of("bfloat16", 16)
    assert (placement.dtype_name, placement.reason) == ("bfloat16", "")


def test_a_run_keeps_the_format_that_it_began_with() -> None:
    here, there = (Placement(CPU, dtype, "of this machine") for dtype in (torch.float32, torch.bfloat16))
    kept = here.of_run("bfloat16", "of the other machine")
    assert (kept.dtype_name, kept.reason) == ("bfloat16", "of the other machine")
    assert there.of_run("float32", "").dtype_name == "float32"


def test_a_run_of_an_earlier_version_was_in_float32_on_every_cpu_unless_its_recipe_said_otherwise() -> None:
    assert Placement(CPU, torch.bfloat16, "of this machine").of_run(None, "").dtype_name == "float32"
    assert Placement(CPU, torch.bfloat16).of_run(None, "").dtype_name == "bfloat16"


def test_memory_that_runs_out_names_the_keys_to_lower() -> None:
    with pytest.raises(OutOfMemoryError, match="out of GPU memory") as caught, clear_out_of_memory("runs/a"):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert caught.value.where == "runs/a"
    keys = [remedy.key for remedy in caught.value.remedies if isinstance(remedy, SetKey)]
    assert keys == ["eval.batch_size", "train.micro_batch_size"]


@pytest.mark.parametrize(
    "take", [lambda: torch.empty(1 << 60, dtype=torch.uint8), lambda: bytearray(1 << 60)]
)
def test_so_does_that_of_the_machine(take: Callable[[], object]) -> None:
    with pytest.raises(OutOfMemoryError, match="runs/a: out of memory"), clear_out_of_memory("runs/a"):
        take()


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="something else"), clear_out_of_memory("runs/a"):
        raise RuntimeError("something else")
