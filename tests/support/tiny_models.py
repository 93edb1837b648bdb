"""Tiny random models of several architectures, without tokenizer, for tests that hold them against each other."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from lorafit.models import FAMILIES, Model

VOCAB_SIZE = 29
DECODERS = ("gpt2", "llama")
ENCODERS = ("roberta", "bert", "deberta-v2")

_GPT2 = {"n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 64}
_OTHERS = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 66,
}
_GROUPED = {"num_key_value_heads": 2, "head_dim": 4}
_MORE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _GROUPED),
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "pooler_hidden_size": 16},
}


def tiny_model(model_type: str, **changes: Any) -> Model:
    """A model in eval mode, always with the same weights, large enough for its opinions to differ."""
    sizes = _GPT2 if model_type == "gpt2" else _OTHERS | _MORE.get(model_type, {})
    tokens = {"vocab_size": VOCAB_SIZE, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
    config = AutoConfig.for_model(model_type, **(sizes | tokens | changes))
    is_decoder = not FAMILIES[model_type].is_encoder
    torch.manual_seed(0)
    if is_decoder:
        net = AutoModelForCausalLM.from_config(config)
    else:
        config.num_labels = 3
        net = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.7 / math.sqrt(parameter.shape[-1] / 16))
    return Model(net.eval(), None, FAMILIES[model_type], "text" if is_decoder else "label")


def some_inputs() -> dict[str, Tensor]:
    """Two texts, the second one padded."""
    ids = torch.tensor([[5, 1, 7, 2, 9, 4, 11], [3, 8, 6, 20, 1, 0, 0]])
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    return {"input_ids": ids, "attention_mask": mask}


def outputs(model: Model) -> Tensor:
    """The model's answers to `some_inputs`, in whatever mode it is."""
    return model.net(**some_inputs()).logits
