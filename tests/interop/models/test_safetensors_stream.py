"""Tensors on their way into a file, block by block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typing_extensions import override

from lorafit.interop.models.safetensors_stream import Streamed, write_file
from lorafit.methods import Change
from lorafit.models import stored_tensors
from tests.support.merged_models import merge_to, weights


def test_every_block_size_and_way_of_copying_gives_the_same(adapter, tmp_path, monkeypatch):
    merge_to(adapter, tmp_path / "one")
    monkeypatch.setattr("lorafit.interop.models.safetensors_stream._COPY_BYTES", 1000)
    merge_to(adapter, tmp_path / "many")
    monkeypatch.delattr("os.copy_file_range", raising=False)
    merge_to(adapter, tmp_path / "slow")
    whole = (tmp_path / "one" / "model.safetensors").read_bytes()
    assert whole == (tmp_path / "many" / "model.safetensors").read_bytes()
    assert whole == (tmp_path / "slow" / "model.safetensors").read_bytes()
    monkeypatch.setattr(
        "lorafit.interop.models.safetensors_stream._BLOCK_BYTES", 700
    )  # products round by their shape
    merge_to(adapter, tmp_path / "small")
    torch.testing.assert_close(weights(tmp_path / "small"), weights(tmp_path / "one"))


@dataclass(frozen=True)
class ToNorm(Change):
    """W / ‖W‖: what becomes of a row depends on all rows."""

    needs_scan: ClassVar[bool] = True
    norm: float = 0.0

    @override
    def scan(self, blocks: Iterable[Tensor]) -> ToNorm:
        return ToNorm(sum(float(block.double().square().sum()) for block in blocks) ** 0.5)

    @override
    def rows(self, block: Tensor, start: int) -> Tensor:
        return block / self.norm


def test_a_change_sees_the_whole_weight_before_its_rows_where_it_asks_to(tmp_path, monkeypatch):
    monkeypatch.setattr("lorafit.interop.models.safetensors_stream._BLOCK_BYTES", 100)
    weight = torch.randn(40, 7)
    save_file({"weight": weight}, tmp_path / "base.safetensors")
    (stored,) = stored_tensors([tmp_path / "base.safetensors"])
    write_file(tmp_path / "new.safetensors", [Streamed("weight", torch.float32, stored, ToNorm())])
    written = load_file(tmp_path / "new.safetensors")["weight"]
    torch.testing.assert_close(written, weight / weight.norm())
