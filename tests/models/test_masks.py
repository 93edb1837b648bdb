"""Windows, chunks, sinks and caps on scores, as transformers has them, in rows that several texts share."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.masking_utils import (
    and_masks,
    bidirectional_mask_function,
    blockwise_overlay,
    causal_mask_function,
    packed_sequence_compatibility_function,
    sliding_window_causal_mask_function,
)

from lorafit.lora import Draws
from lorafit.models import PackedRow, accepted, take_packed_rows
from lorafit.models.attention.masks import Pattern
from lorafit.training.recompute import recompute_activations

LENGTHS = [9, 2, 12, 1, 5]
MIXED = ["sliding_attention", "full_attention"] * 2
SIZES: dict[str, Any] = {
    "vocab_size": 29,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
WINDOWED: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 4},
    "qwen2": {"sliding_window": 4, "use_sliding_window": True, "max_window_layers": 2},
    "qwen3": {"sliding_window": 4, "use_sliding_window": True, "layer_types": MIXED},
    "gemma2": {"sliding_window": 4, "layer_types": MIXED, "attn_logit_softcapping": 0.5},
    "gemma3_text": {"sliding_window": 4, "layer_types": MIXED},
    "modernbert": {"local_attention": 6, "layer_types": MIXED, "num_key_value_heads": 4},
    "llama4_text": {"attention_chunk_size": 4, "intermediate_size_mlp": 32, "num_local_experts": 2},
    "gpt_oss": {"sliding_window": 4, "layer_types": MIXED, "num_local_experts": 4},
    "cohere2": {"sliding_window": 4, "layer_types": MIXED},
}


def backbone(model_type: str, **changes: Any) -> PreTrainedModel:
    """With weights large enough for its opinions to differ."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **{**SIZES, **WINDOWED[model_type], **changes})
    net: PreTrainedModel = AutoModel.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.ndim > 1 or name.endswith("sinks"):
                parameter.normal_(std=1.5 * parameter.shape[-1] ** -0.5)
    return net


def texts() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(1, 29, (length,), generator=generator) for length in LENGTHS]


def alone(net: PreTrainedModel) -> Tensor:
    states = [net(input_ids=text[None], **accepted(net, use_cache=False)) for text in texts()]
    return torch.cat([each.last_hidden_state[0] for each in states])


def packed(net: PreTrainedModel) -> Tensor:
    row = PackedRow.of(LENGTHS, torch.device("cpu"))
    positions = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    ids, options = torch.cat(texts())[None], accepted(net, use_cache=False)
    states: Tensor = net(input_ids=ids, position_ids=positions, packed_row=row, **options).last_hidden_state
    return states[0]


def padded(net: PreTrainedModel) -> Tensor:
    ids = torch.nn.utils.rnn.pad_sequence(texts(), batch_first=True)
    mask = (torch.arange(ids.shape[1]) < torch.tensor(LENGTHS)[:, None]).long()
    states: Tensor = net(input_ids=ids, attention_mask=mask).last_hidden_state
    return states[mask.bool()]


@pytest.mark.parametrize("dropout", [0.0, 1e-12])  # the second drops nothing, and takes the way of dropout
@pytest.mark.parametrize("model_type", WINDOWED)
def test_a_window_is_obeyed_in_packed_rows_and_in_plain_batches_after_them(
    model_type: str, dropout: float
) -> None:
    net = backbone(model_type, attention_dropout=dropout).train(bool(dropout))
    expected = alone(net)
    parameters = list(net.parameters())
    gradients = torch.autograd.grad(expected.sin().sum(), parameters, allow_unused=True)
    take_packed_rows(net)
    for way in (packed, padded, alone):
        found = way(net)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        ours = torch.autograd.grad(found.sin().sum(), parameters, allow_unused=True)
        for gradient, wanted in zip(ours, gradients, strict=True):
            if wanted is not None:
                torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model_type", ["mistral", "gemma3_text", "modernbert", "llama4_text"])
def test_without_its_window_a_net_says_something_else(model_type: str) -> None:
    """Else the tests above would prove nothing."""
    wide = {"sliding_window": 64, "local_attention": 64, "attention_chunk_size": 64}
    changed = {key: wide[key] for key in WINDOWED[model_type] if key in wide}
    assert not torch.allclose(alone(backbone(model_type)), alone(backbone(model_type, **changed)), atol=0.1)


def test_a_window_is_obeyed_when_activations_are_computed_again() -> None:
    net = backbone("mistral")
    expected = torch.autograd.grad(alone(net).sin().sum(), net.get_parameter("embed_tokens.weight"))
    take_packed_rows(net)
    recompute_activations(net, Draws(0))
    net.train()
    found = torch.autograd.grad(packed(net).sin().sum(), net.get_parameter("embed_tokens.weight"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_copy_and_a_pass_within_a_pass_have_layouts_of_their_own() -> None:
    net = backbone("mistral")
    expected, first = alone(net), alone(net)[: LENGTHS[0]]
    take_packed_rows(net)
    inner: list[Tensor] = []
    copied = copy.deepcopy(net)

    def meanwhile(*_: object) -> None:
        inner.append(copied(input_ids=texts()[0][None], use_cache=False).last_hidden_state[0])

    net.register_forward_pre_hook(meanwhile)
    torch.testing.assert_close(packed(net), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(inner[0], first, rtol=1e-4, atol=1e-4)


def test_no_mask_is_made_where_a_query_sees_all_or_all_up_to_itself() -> None:
    row = PackedRow.of(LENGTHS, torch.device("cpu"))
    positions = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    which = torch.tensor([i for i, length in enumerate(LENGTHS) for _ in range(length)])[None]

    def in_row(pattern: Any) -> Any:
        return packed_sequence_compatibility_function(pattern, positions, which)

    blocks = blockwise_overlay(torch.zeros(1, sum(LENGTHS), dtype=torch.long))
    window = sliding_window_causal_mask_function
    for sees, local_size, is_plain in [
        (causal_mask_function, None, True),
        (bidirectional_mask_function, None, True),
        (in_row(causal_mask_function), None, True),
        (in_row(window(13)), 13, True),
        (in_row(window(12)), 12, False),  # as transformers: a window is plain above the longest
        (in_row(window(13)), None, False),
        (and_masks(causal_mask_function, blocks), None, False),
        (lambda *places: causal_mask_function(*places), None, False),
    ]:
        mask = row.mask_of(Pattern(sees, local_size))
        assert (mask is None) == is_plain
        if mask is not None:
            assert mask.shape == (len(LENGTHS), 1, max(LENGTHS), max(LENGTHS))
            assert mask.any(dim=-1).all()
