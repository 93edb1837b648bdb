"""GPU memory that runs out is an error that says what to lower."""

from __future__ import annotations

import pytest
import torch

from lorafit.errors import OutOfMemoryError, SetKey
from lorafit.models.placement import clear_out_of_memory


def test_memory_that_runs_out_names_the_keys_to_lower() -> None:
    with pytest.raises(OutOfMemoryError, match="out of GPU memory") as caught, clear_out_of_memory("runs/a"):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert caught.value.where == "runs/a"
    keys = [remedy.key for remedy in caught.value.remedies if isinstance(remedy, SetKey)]
    assert keys == ["eval.batch_size", "train.micro_batch_size"]


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="something else"), clear_out_of_memory("runs/a"):
        raise RuntimeError("something else")
