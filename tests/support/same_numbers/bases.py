"""Tiny base models made from nothing but names: the same weights, bit for bit, on every machine.

The values come from SHAKE-256, not from torch's generator, and config.json is written here, so that neither another
CPU nor another transformers changes a hash.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedTokenizerFast

END = "<|endoftext|>"
ROBERTA_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
BERT_SPECIALS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")

# Words that are one token where a space precedes them (their beginnings are tokens too); all else is bytes.
WORDS = (
    *("serves", "food", "in", "the", "area", "centre", "riverside", "French", "Italian", "place"),
    *("film", "lovely", "dreadful", "saw", "is", "name"),
)

_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 160,
}
_DECODER = _SIZES | {
    "num_key_value_heads": 2,
    "head_dim": 8,
    "rms_norm_eps": 1e-6,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "tie_word_embeddings": False,
}
_ENCODER = _SIZES | {"max_position_embeddings": 96, "pad_token_id": 0, "type_vocab_size": 2}
_ROBERTA = _ENCODER | {"max_position_embeddings": 98, "pad_token_id": 1, "type_vocab_size": 1}
_ROBERTA |= {"bos_token_id": 0, "eos_token_id": 2}

CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 160,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
    "llama": _DECODER,
    "mistral": _DECODER | {"sliding_window": 24},
    "qwen2": _DECODER,
    "qwen3": _DECODER | {"tie_word_embeddings": True},
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "bert": _ENCODER,
    "deberta-v2": _ENCODER
    | {
        "type_vocab_size": 0,
        "relative_attention": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "conv_kernel_size": 3,
        "conv_act": "gelu",
        "pooler_hidden_size": 32,
        "pooler_dropout": 0,
    },
}
ENCODERS = ("roberta", "xlm-roberta", "bert", "deberta-v2")


def save_base(folder: Path, model_type: str) -> None:
    """A base with tokenizer as a Hugging Face folder: a causal LM, or a bare encoder without head."""
    is_encoder = model_type in ENCODERS
    folder.mkdir(parents=True)
    vocab_size = save_tokenizer(folder, _specials(model_type), is_encoder=is_encoder)
    config = {
        "model_type": model_type,
        "vocab_size": vocab_size,
        "initializer_range": 0.2,
        **CONFIGS[model_type],
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    auto = AutoModel if is_encoder else AutoModelForCausalLM
    net = auto.from_config(AutoConfig.from_pretrained(folder))
    tensors = {name: values(model_type, name, parameter.shape) for name, parameter in net.named_parameters()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def values(model_type: str, name: str, shape: Sequence[int]) -> Tensor:
    """Uniform values with standard deviation 0.2 (matrices); near 1 (scales of norms); near 0 (biases)."""
    count = math.prod(shape)
    raw = hashlib.shake_256(f"{model_type}/{name}".encode()).digest(2 * count)
    uniform = torch.from_numpy(np.frombuffer(raw, dtype="<i2").astype(np.float32)) / 32768.0
    if len(shape) > 1:
        return (uniform * 0.34375).reshape(*shape)  # sqrt(3) * 0.2, as a number that float32 holds exactly
    return (0.0 if name.endswith("bias") else 1.0) + uniform * 0.0625


def _specials(model_type: str) -> tuple[str, ...]:
    if model_type not in ENCODERS:
        return (END,)
    return ROBERTA_SPECIALS if "roberta" in model_type else BERT_SPECIALS


def save_tokenizer(folder: Path, specials: Sequence[str], *, is_encoder: bool) -> int:
    """A byte-level BPE whose merges make WORDS; returns the size of its vocabulary."""
    tokens = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        begun = "Ġ"  # the byte alphabet's letter for a space
        for letter in word:
            if begun + letter not in tokens:
                tokens.append(begun + letter)
                merges.append((begun, letter))
            begun += letter
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(specials))
    names = {"eos_token": END, "bos_token": END, "pad_token": END}
    if is_encoder:
        is_roberta = specials == ROBERTA_SPECIALS
        first, pad, end = ("<s>", "<pad>", "</s>") if is_roberta else ("[CLS]", "[PAD]", "[SEP]")
        names = {"cls_token": first, "sep_token": end, "pad_token": pad, "unk_token": specials[3]}
        middle, second = (f" {end}", "0") if is_roberta else ("", "1")
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {end}",
            pair=f"{first} $A {end}{middle} $B:{second} {end}:{second}",
            special_tokens=[(first, specials.index(first)), (end, specials.index(end))],
        )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    return len(tokens)
