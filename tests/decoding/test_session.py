"""Both ways through the model give the logits of the plain model on the whole sequence."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from lorafit.decoding import cache
from lorafit.decoding.session import DecodingSession, ReorderSession, TreeSession, open_session
from lorafit.models import FAMILIES

MakeNet = Callable[..., PreTrainedModel]

PROMPTS = [[5, 1, 7, 2, 9, 4], [3, 8, 6], [2]]


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
        for beam, tokens in enumerate(beams):
            expected = net(torch.tensor([tokens])).logits[0, -1]
            torch.testing.assert_close(logits[row, beam], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("room", [4, 128])
@pytest.mark.parametrize(
    "model_type", [name for name, family in FAMILIES.items() if family.positions_and_masks]
)
def test_beams_in_one_row(
    model_type: str, room: int, monkeypatch: pytest.MonkeyPatch, make_net: MakeNet
) -> None:
    monkeypatch.setattr(cache, "ROOM", room)
    net = make_net(model_type, sliding_window=None)
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


@pytest.mark.parametrize(
    ("model_type", "changes"), [("mistral", {"sliding_window": 4}), ("bloom", {}), ("gemma", {})]
)
def test_what_cannot_share_a_row_does_not(
    model_type: str, changes: dict[str, int], make_net: MakeNet
) -> None:
    assert isinstance(open_session(make_net(model_type, **changes)), ReorderSession)


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
