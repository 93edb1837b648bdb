"""Attention with dropout on packed rows: the same as without it where nothing is dropped, and right on average."""

from __future__ import annotations

import torch
from torch import nn

from lorafit.models.packing import PackedRow, packed_attention


class Bidirectional(nn.Module):
    is_causal = False


def test_no_drop_no_difference_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    lengths = [5, 2, 7]
    row = PackedRow.of(lengths, torch.device("cpu"))
    q, k, v = (torch.randn(1, 2, sum(lengths), 4) for _ in range(3))

    def attend(p: float) -> torch.Tensor:
        return packed_attention(Bidirectional(), q, k, v, None, packed_row=row, dropout=p)[0]

    plain = attend(0.0)
    torch.testing.assert_close(attend(1e-6), plain, rtol=1e-5, atol=1e-6)  # rounds to nothing dropped
    mean = torch.stack([attend(0.2) for _ in range(4000)]).mean(dim=0)
    torch.testing.assert_close(mean, plain, rtol=0.05, atol=0.05)
