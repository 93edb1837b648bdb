"""The packed, fused loss is the plain padded one: same value, same gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lorafit.data.batches import pack
from lorafit.data.encoding.encode import EncodedPair
from lorafit.methods import LoRA
from lorafit.models import Model, load_base, load_config, take_packed_rows
from lorafit.training import cross_entropy, cross_entropy_sum, language_model_loss_sums
from lorafit.training.cross_entropy import FusedCrossEntropy

EXAMPLES = [
    EncodedPair((5, 6, 7, 0), (8, 9, 0)),
    EncodedPair((11, 0), (12, 13, 14, 15, 16, 0)),
    EncodedPair((21, 22, 23, 24, 25, 26, 0), (27, 0)),
]


def plain_loss(model: Model, examples: list[EncodedPair], smoothing: float) -> Tensor:
    """Each example on its own through transformers' forward: all logits, no packing, no padding."""
    total = torch.zeros(())
    for example in examples:
        ids = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
        logits = model.net(input_ids=ids[:, :-1]).logits[0]
        first = len(example.prompt_ids) - 1
        total = total + cross_entropy_sum(logits[first:], ids[0, first + 1 :], smoothing)
    return total


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "qwen2"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_packed_equals_plain(make_base: Callable[..., Path], model_type: str, smoothing: float) -> None:
    base = str(make_base(model_type))
    model = load_base(load_config(base, dropout=0.0), base, None, "text")
    LoRA(r=2, alpha=4, init="paper-gpt2").attach(model, torch.Generator().manual_seed(0))
    take_packed_rows(model.net)
    trained = list(model.trained().values())
    plain = plain_loss(model, EXAMPLES, smoothing)
    expected = torch.autograd.grad(plain, trained)
    packed = language_model_loss_sums(model.net, pack(EXAMPLES, 128), [smoothing])[0]
    found = torch.autograd.grad(packed, trained)
    torch.testing.assert_close(packed, plain, rtol=1e-5, atol=0)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    num_targets=st.integers(1, 7),
    vocab=st.integers(2, 9),
    smoothing=st.floats(0.0, 0.9),
    chunk=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_fused_equals_plain(num_targets: int, vocab: int, smoothing: float, chunk: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden, weight = (torch.randn(n, 5, generator=generator).requires_grad_() for n in (num_targets, vocab))
    targets = torch.randint(vocab, (num_targets,), generator=generator)
    plain = cross_entropy_sum(hidden @ weight.T, targets, smoothing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lorafit.training.cross_entropy._CHUNK_ELEMENTS", chunk)
        fused = FusedCrossEntropy.apply(hidden, weight, targets, smoothing)
    torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(
        torch.autograd.grad(3 * fused, (hidden, weight)),
        torch.autograd.grad(3 * plain, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("tile", [1, 7, 100, 10**6])
def test_tiles_of_the_vocabulary_are_all_of_it(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, tolerance: float, smoothing: float, tile: int
) -> None:
    monkeypatch.setattr(cross_entropy, "_MIN_TILE", tile)
    monkeypatch.setattr(cross_entropy, "_TILE_ELEMENTS", 1)
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 16, generator=generator, dtype=torch.float64) for n in (9, 300))
    hidden, weight = (3 * hidden).to(dtype).requires_grad_(), weight.to(dtype)
    targets = torch.tensor([0, 299, 5, 6, 7, 100, 299, 1, 200])
    exact = hidden.detach().double().requires_grad_()
    log_p = (exact @ weight.double().T).log_softmax(-1)
    plain = -((1 - smoothing) * log_p[torch.arange(9), targets] + smoothing * log_p.mean(-1)).sum()
    fused = FusedCrossEntropy.apply(hidden, weight, targets, smoothing)
    assert fused.dtype == dtype
    torch.testing.assert_close(fused.double(), plain, rtol=tolerance, atol=0)
    ours, theirs = (
        torch.autograd.grad(loss, leaf)[0].double() for loss, leaf in ((fused, hidden), (plain, exact))
    )
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.mark.parametrize("num_targets", [1, 300])
@pytest.mark.parametrize("trains_the_table", [False, True])
def test_whichever_way_it_goes_float64_stays(num_targets: int, trains_the_table: bool) -> None:
    """By chunks or by tiles: the loss and its gradients are as exact as what is given."""
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 8, generator=generator).double() for n in (num_targets, 2000))
    leaves = [hidden.requires_grad_(), *([weight.requires_grad_()] if trains_the_table else [])]
    targets = torch.randint(2000, (num_targets,), generator=generator)
    fused = FusedCrossEntropy.apply(hidden, weight, targets, 0.1)
    for plain in (
        F.cross_entropy(hidden @ weight.T, targets, label_smoothing=0.1, reduction="sum"),
        cross_entropy_sum(hidden @ weight.T, targets, 0.1),
    ):
        both = (
            (fused, plain),
            *zip(
                *(torch.autograd.grad(loss, leaves, retain_graph=True) for loss in (fused, plain)),
                strict=True,
            ),
        )
        for ours, theirs in both:
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_a_large_vocabulary_is_never_held_for_all_targets() -> None:
    """64 targets of 262,144 tokens: 67 MB of logits in float32, of which a few are there at a time."""
    hidden, weight = torch.randn(64, 8, requires_grad=True), torch.randn(262_144, 8)
    targets = torch.arange(64)

    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor) and out.shape[:1] == (64,):
                self.elements = max(self.elements, out.numel())
            return out

    with Largest() as largest:
        FusedCrossEntropy.apply(hidden, weight, targets, 0.1)
    assert largest.elements <= 1 << 19


def test_without_smoothing_it_is_cross_entropy() -> None:
    logits, targets = torch.randn(6, 10), torch.arange(6)
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    torch.testing.assert_close(cross_entropy_sum(logits, targets, 0.0), expected)
    smoothed = torch.nn.functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=0.1)
    torch.testing.assert_close(cross_entropy_sum(logits, targets, 0.1), smoothed)


def test_a_truncated_example_keeps_its_first_targets() -> None:
    batch = pack([EncodedPair((1, 2, 0), (3, 4, 5, 0))], max_length=5)
    assert batch.input_ids.tolist() == [[1, 2, 0, 3]]
    assert batch.targets.tolist() == [3, 4]
    assert batch.target_places.tolist() == [2, 3]
