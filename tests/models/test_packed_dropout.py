"""Attention with dropout: the same as without it where nothing is dropped, and by its formula where something is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from lorafit.lora import Draws
from lorafit.lora.dropout import keep_share
from lorafit.models.attention import packing
from lorafit.models.attention.packing import PackedRow, packed_attention

LENGTHS = [5, 2, 7]
P = 0.3


class Attention(nn.Module):
    """What packed_attention reads of a module of transformers; `prefix` [2, heads, length, head_dim]."""

    draws: Draws

    def __init__(self, *, is_causal: bool, num_groups: int, prefix: Tensor | None) -> None:
        super().__init__()
        self.is_causal = is_causal
        self.num_key_value_groups = num_groups
        if prefix is not None:
            self.prefix = lambda: prefix


class Recording(Draws):
    """Draws that keep the masks they gave."""

    def __init__(self) -> None:
        super().__init__(0)
        self.masks: list[Tensor] = []

    def keep_mask(self, x: Tensor, p: float) -> Tensor:
        self.masks.append(super().keep_mask(x, p))
        return self.masks[-1]


@dataclass(frozen=True)
class Case:
    """A module and inputs for it, in float64."""

    is_causal: bool
    is_packed: bool
    num_groups: int = 1
    num_prefix: int = 0
    mask: str = ""  # of ordinary batches: "bool" or "float"

    def module(self) -> Attention:
        prefix = torch.randn(2, 4 // self.num_groups, self.num_prefix, 3, dtype=torch.float64)
        return Attention(
            is_causal=self.is_causal,
            num_groups=self.num_groups,
            prefix=prefix if self.num_prefix else None,
        )

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """query, key, value, all wanting a gradient."""
        shape = (1, sum(LENGTHS)) if self.is_packed else (len(LENGTHS), max(LENGTHS))
        heads = (4, 4 // self.num_groups, 4 // self.num_groups)
        q, k, v = (torch.randn(shape[0], n, shape[1], 3, dtype=torch.float64) for n in heads)
        return q.requires_grad_(), k.requires_grad_(), v.requires_grad_()

    def seen(self) -> Tensor:
        """[n, 1, longest, longest]: which keys of its own text a query sees."""
        longest = max(LENGTHS)
        real = torch.arange(longest) < torch.tensor(LENGTHS)[:, None]
        if self.is_packed or self.mask:
            seen = real[:, None, None, :].expand(-1, 1, longest, longest)
        else:
            seen = torch.ones(len(LENGTHS), 1, longest, longest, dtype=torch.bool)
        return seen.tril() if self.is_causal else seen

    def attend(self, module: Attention, tensors: tuple[Tensor, Tensor, Tensor], p: float) -> Tensor:
        row = PackedRow.of(LENGTHS, torch.device("cpu")) if self.is_packed else None
        mask = self.seen() if self.mask else None
        if mask is not None and self.mask == "float":
            mask = torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -torch.inf)
        return packed_attention(module, *tensors, mask, packed_row=row, dropout=p)[0]


CASES = [
    Case(is_causal, is_packed, groups, num_prefix, mask)
    for is_causal in (True, False)
    for is_packed in (True, False)
    for groups in (1, 2)
    for num_prefix in (0, 2)
    for mask in (("",) if is_packed else ("", "bool", "float"))
]
over_all = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(autouse=True)
def _one_seed() -> None:
    torch.manual_seed(0)


@over_all
def test_where_nothing_is_dropped_it_is_torchs_attention(case: Case) -> None:
    module, tensors = case.module(), case.tensors()
    module.draws = Draws(0)
    plain, ours = case.attend(module, tensors, 0.0), case.attend(module, tensors, 1e-6)  # rounds to nothing
    assert ours.shape == plain.shape
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(
        torch.autograd.grad(ours.sin().sum(), tensors), torch.autograd.grad(plain.sin().sum(), tensors)
    )


@over_all
def test_products_are_torchs_attention(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    module, tensors = case.module(), case.tensors()
    found = []
    for limit in (0, max(LENGTHS) + 2):  # with the prefix
        monkeypatch.setitem(packing.PRODUCTS_UP_TO, torch.float64, limit)
        out = case.attend(module, tensors, 0.0)
        found.append((out, *torch.autograd.grad(out.sin().sum(), tensors)))
    for kernel, products in zip(*found, strict=True):
        torch.testing.assert_close(products, kernel, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", [case for case in CASES if case.mask != "float"], ids=str)
def test_in_bfloat16_products_are_as_exact_as_the_kernel(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    module, exact = case.module(), case.tensors()
    query, key, value = (t.detach().bfloat16().requires_grad_() for t in exact)
    rounded = query, key, value
    expected = torch.autograd.grad(case.attend(module, exact, 0.0).sin().sum(), exact)
    errors = []
    for limit in (0, 512):
        monkeypatch.setitem(packing.PRODUCTS_UP_TO, torch.bfloat16, limit)
        grads = torch.autograd.grad(case.attend(module, rounded, 0.0).sin().sum(), rounded)
        errors.append(max((ours - e).abs().max().item() for ours, e in zip(grads, expected, strict=True)))
    kernel, products = errors
    assert products < 2 * kernel + 0.01


@over_all
def test_what_is_dropped_are_attention_weights_of_the_modules_draws(case: Case) -> None:
    """softmax(q k^T / sqrt(d)) * mask / (1 - p), times v: text by text and head by head."""
    module, tensors = case.module(), case.tensors()
    module.draws = recording = Recording()
    before = torch.get_rng_state()
    out = case.attend(module, tensors, P)
    assert torch.equal(torch.get_rng_state(), before)
    (keep,) = recording.masks

    prefix = module.prefix() if case.num_prefix else torch.empty(2, 4 // case.num_groups, 0, 3)
    expected = torch.zeros_like(out)
    offset = 0
    for i, length in enumerate(LENGTHS):
        rows = slice(offset, offset + length) if case.is_packed else slice(0, max(LENGTHS))
        at = 0 if case.is_packed else i
        offset += length
        size = rows.stop - rows.start
        for head in range(4):
            group = head // case.num_groups
            key, value = (
                torch.cat([prefix[j, group], tensors[1 + j][at, group, rows]]).double() for j in (0, 1)
            )
            scores = tensors[0][at, head, rows] @ key.T / 3**0.5
            unseen = ~case.seen()[i, 0, :size, :size]
            scores[:, case.num_prefix :] = scores[:, case.num_prefix :].masked_fill(unseen, -torch.inf)
            kept = keep[i, head, :size, : case.num_prefix + size]
            expected[at, rows, head] = (scores.softmax(-1) * kept / keep_share(P)) @ value
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(
        torch.autograd.grad(out.sin().sum(), tensors), torch.autograd.grad(expected.sin().sum(), tensors)
    )


def test_a_query_that_sees_nothing_makes_no_gradient_infinite() -> None:
    module = Attention(is_causal=False, num_groups=1, prefix=None)
    module.draws = Draws(0)
    q, k, v = (torch.randn(1, 4, 3, 3, requires_grad=True) for _ in range(3))
    mask = torch.tensor([[True, True, True], [True, False, True], [False, False, False]])[None, None]
    out, _ = packed_attention(module, q, k, v, mask, dropout=P)
    out[0, :2].sum().backward()
    assert all(x.grad is not None and bool(x.grad.isfinite().all()) for x in (q, k, v))


@pytest.mark.parametrize("lengths", [[24, 24], [46, 30, 1, 7, 46], [33], [1, 1]])
@pytest.mark.parametrize("is_causal", [False, True])
def test_the_short_way_gives_the_same_bits(
    lengths: list[int], is_causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, num_tokens = PackedRow.of(lengths, torch.device("cpu")), sum(lengths)
    weights, *inputs = torch.randn(4, 1, num_tokens, 12 * 32, generator=torch.Generator().manual_seed(0))

    def out_and_gradients() -> list[Tensor]:
        leaves = [x.clone().requires_grad_() for x in inputs]
        query, key, value = (x.view(1, num_tokens, 12, 32).transpose(1, 2) for x in leaves)
        module = Attention(is_causal=is_causal, num_groups=1, prefix=None)
        module.draws = Draws(0)
        out, _ = packed_attention(module, query, key, value, None, packed_row=row, dropout=P)
        return [out, *torch.autograd.grad((out.flatten(2) * weights).sum(), leaves)]

    short = out_and_gradients()
    monkeypatch.setattr(packing, "plain", lambda *_: False)
    assert all(map(torch.equal, short, out_and_gradients()))
