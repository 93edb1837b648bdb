"""The n-gram ban."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorafit.decoding import search
from lorafit.decoding.search import ban_repeated_ngrams


def banned(tokens: list[int], size: int) -> set[int]:
    """The tokens after which some n-gram of that size would be there twice."""
    whole = [[*tokens, token] for token in range(5)]
    ends = [(t[-1], tuple(t[len(t) - size :])) for t in whole if 0 < size <= len(tokens)]
    seen = {tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)}
    return {token for token, ngram in ends if ngram in seen}


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=9, max_size=9), min_size=1, max_size=4),
    st.integers(0, 9),
    st.integers(0, 4),
)
def test_bans_what_would_repeat(rows: list[list[int]], length: int, size: int) -> None:
    history = torch.tensor(rows)[:, :length]
    for logits in (
        torch.ones(len(rows), 5),
        torch.ones(len(rows), 5, dtype=torch.bfloat16),
        torch.ones(5, len(rows)).T,
    ):
        ban_repeated_ngrams(logits, history, size)
        for row, tokens in enumerate(history.tolist()):
            assert set((logits[row] == -torch.inf).nonzero().flatten().tolist()) == banned(tokens, size)
            assert ((logits[row] == 1) | (logits[row] == -torch.inf)).all()


@pytest.mark.parametrize("vocab_size", [29, 256, 513, 1800])
@pytest.mark.parametrize("at_once", [1, 4000, 1 << 19])
def test_the_best_continuations_are_those_of_the_whole_log_softmax(
    vocab_size: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_AT_ONCE", at_once)
    generator = torch.Generator().manual_seed(vocab_size)
    logits = 5 * torch.randn(3, 4, vocab_size, generator=generator)
    logits[0, 1, 3:] = logits[2, :, -5:] = -torch.inf  # banned
    sums = torch.tensor([0.0, -torch.inf, -3.0, -9.0]).expand(3, 4)
    values, choice = search.best_continuations(logits, sums, 7)
    expected = (logits.log_softmax(-1) + sums[..., None]).flatten(1).topk(7)
    assert torch.equal(choice, expected.indices)
    torch.testing.assert_close(values, expected.values)
