"""Both ways through the model give the logits of the plain model on the whole sequence."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from lorafit.decoding import cache
from lorafit.decoding.search import DecodingSession
from lorafit.decoding.session import (
    ReorderSession,
    RereadSession,
    SeparateSession,
    TreeSession,
    open_session,
)
from lorafit.models import FAMILIES

MakeNet = Callable[..., PreTrainedModel]

PROMPTS = [[5, 1, 7, 2, 9, 4], [3, 8, 6], [2]]
MIXED = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]
WINDOWED: list[tuple[str, dict[str, Any]]] = [
    ("mistral", {"sliding_window": 4}),
    ("qwen2", {"sliding_window": 4, "use_sliding_window": True, "layer_types": MIXED}),
    ("qwen3", {"sliding_window": 4, "use_sliding_window": True, "max_window_layers": 2}),
    ("phi3", {"sliding_window": 4, "pad_token_id": 0}),
    ("starcoder2", {"sliding_window": 4}),
    ("gemma2", {"sliding_window": 4, "attn_logit_softcapping": 1.0}),
    ("gemma3_text", {"sliding_window": 4, "layer_types": MIXED}),
    ("cohere2", {"sliding_window": 4, "layer_types": MIXED}),
    ("gpt_oss", {"sliding_window": 4, "layer_types": MIXED, "num_local_experts": 4}),
]


@torch.no_grad()
def follows_the_plain_model(net: PreTrainedModel, session: DecodingSession) -> None:
    """Walk through random forks, with rows that leave and a width that changes, and compare all the way."""
    rng = random.Random(0)
    sequences = [[prompt] for prompt in PROMPTS]
    logits = session.read(PROMPTS)
    compare(net, logits, sequences)
    for width, going_on in [(3, None), (3, None), (2, None), (4, [0, 2]), (4, None), (1, [1]), (3, None)]:
        kept = sequences if going_on is None else [sequences[row] for row in going_on]
        parents = [[rng.randrange(len(beams)) for _ in range(width)] for beams in kept]
        tokens = [[rng.randrange(29) for _ in range(width)] for _ in kept]
        sequences = [
            [[*beams[parent], token] for parent, token in zip(*choice, strict=True)]
            for beams, *choice in zip(kept, parents, tokens, strict=True)
        ]
        rows = None if going_on is None else torch.tensor(going_on)
        logits = session.step(torch.tensor(parents), torch.tensor(tokens), rows)
        compare(net, logits, sequences)


def compare(net: PreTrainedModel, logits: Tensor, sequences: list[list[list[int]]]) -> None:
    for row, beams in enumerate(sequences):
        expected = net(torch.tensor(beams)).logits[:, -1]  # the beams of a text are equally long
        torch.testing.assert_close(logits[row, : len(beams)], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("room", [4, 128])
@pytest.mark.parametrize(
    "model_type", [name for name, family in FAMILIES.items() if family.positions_and_masks]
)
def test_beams_in_one_row(
    model_type: str, room: int, monkeypatch: pytest.MonkeyPatch, make_net: MakeNet
) -> None:
    monkeypatch.setattr(cache, "ROOM", room)
    has_window = hasattr(FAMILIES[model_type].tiny_config(), "sliding_window")
    net = make_net(model_type, **({"sliding_window": 128} if has_window else {}))  # wider than the texts
    assert isinstance(open_session(net), TreeSession)
    follows_the_plain_model(net, open_session(net))


def test_beams_in_one_row_with_eager_attention(make_net: MakeNet) -> None:
    net = make_net("gpt2", attn_implementation="eager")
    assert isinstance(open_session(net), TreeSession)
    follows_the_plain_model(net, open_session(net))


@pytest.mark.parametrize(
    "model_type", ["gpt2", "llama", "opt", "gptj", "bloom", "mistral", "gemma", "gpt_neox", "olmo2", "phi3"]
)
def test_a_row_per_beam(model_type: str, make_net: MakeNet) -> None:
    changes = {
        "mistral": {"sliding_window": 4},
        "gptj": {"rotary_dim": 4},
        "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16},
    }
    net = make_net(model_type, **changes.get(model_type, {}))
    follows_the_plain_model(net, ReorderSession(net))


@pytest.mark.parametrize(("model_type", "changes"), WINDOWED)
@pytest.mark.parametrize("make", [TreeSession, ReorderSession, SeparateSession, RereadSession])
def test_a_window_is_obeyed_in_every_session(
    make: Callable[[PreTrainedModel], DecodingSession],
    model_type: str,
    changes: dict[str, Any],
    make_net: MakeNet,
) -> None:
    net = make_net(model_type, num_hidden_layers=4, **changes)
    assert isinstance(open_session(net), TreeSession)
    follows_the_plain_model(net, make(net))


def test_nothing_is_cached_where_a_cache_is_not_right(make_net: MakeNet) -> None:
    follows_the_plain_model(make_net("gpt2"), RereadSession(make_net("gpt2")))
    assert isinstance(open_session(make_net("bloom")), ReorderSession)
    net = make_net("mamba", num_attention_heads=0, state_size=4)
    assert isinstance(open_session(net), RereadSession)
    follows_the_plain_model(net, open_session(net))


def test_the_tree_forgets_what_no_beam_descends_from(
    gpt2: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten beams that all descend from the first one need no more than a path and a few leaves."""
    monkeypatch.setattr(cache, "ROOM", 20)
    session = TreeSession(gpt2)
    with torch.no_grad():
        session.read(PROMPTS)
        for _ in range(30):
            session.step(torch.zeros(3, 10, dtype=torch.long), torch.ones(3, 10, dtype=torch.long), None)
    assert session.visible.shape[-1] < 6 + 30 + 30
