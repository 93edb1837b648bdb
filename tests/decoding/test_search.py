"""The n-gram ban."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

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
    logits = torch.ones(len(rows), 5)
    ban_repeated_ngrams(logits, history, size)
    for row, tokens in enumerate(history.tolist()):
        assert set((logits[row] == -torch.inf).nonzero().flatten().tolist()) == banned(tokens, size)
        assert ((logits[row] == 1) | (logits[row] == -torch.inf)).all()
