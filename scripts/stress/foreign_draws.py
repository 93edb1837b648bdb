"""What `foreign.py` draws from: tiny bases, targets, and a value for every option of LoraConfig."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraRuntimeConfig
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from lorafit.models import FAMILIES

NUM_LABELS = 3
_WORDS = [f"the {word} is near" for word in ("river", "mill", "inn", "bridge", "market", "station")]
_UNKNOWN = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 64},
    "electra": {
        "hidden_size": 32,
        "embedding_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    },
    "gpt_neox": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
}
Values = dict[str, Any]


@dataclass(frozen=True)
class Base:
    """A tiny base: its linear targets, its list of layers, and what may train whole."""

    model_type: str
    linear: tuple[str, ...]
    layers: str
    embedding: str
    norm: str
    kind: str = "text"
    changes: Mapping[str, bool] = field(default_factory=dict)

    @property
    def is_encoder(self) -> bool:
        """Whether it is a bare encoder, from which a classifier is made."""
        return self.layers == "layer" or self.model_type == "distilbert"

    @property
    def auto_class(self) -> tuple[Any, Values]:
        """What loads it, with which options."""
        if self.kind == "text":
            return AutoModelForCausalLM, {}
        return AutoModelForSequenceClassification, {"num_labels": NUM_LABELS}


_BERT = ("query", "key", "value", "intermediate.dense")
_LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj")
_SPLIT = {"tie_word_embeddings": False}
BASES: dict[str, Base] = {
    "gpt2": Base("gpt2", ("c_attn", "c_proj", "c_fc"), "h", "wte", "ln_f"),
    "gpt2-untied": Base("gpt2", ("c_attn", "c_proj", "c_fc"), "h", "wte", "ln_1", changes=_SPLIT),
    "gpt2-labels": Base("gpt2", ("c_attn", "c_proj"), "h", "wte", "ln_f", "label"),
    "llama": Base("llama", _LLAMA, "layers", "embed_tokens", "input_layernorm", changes=_SPLIT),
    "llama-tied": Base(
        "llama", _LLAMA, "layers", "embed_tokens", "norm", changes={"tie_word_embeddings": True}
    ),
    "llama-labels": Base("llama", _LLAMA, "layers", "embed_tokens", "norm", "label"),
    "mistral": Base("mistral", _LLAMA, "layers", "embed_tokens", "norm", changes=_SPLIT),
    "qwen2": Base("qwen2", _LLAMA, "layers", "embed_tokens", "norm", changes=_SPLIT),
    "qwen3": Base("qwen3", _LLAMA, "layers", "embed_tokens", "q_norm", changes=_SPLIT),
    "gpt_neox": Base(
        "gpt_neox", ("query_key_value", "dense_4h_to_h"), "layers", "embed_in", "final_layer_norm"
    ),
    "bert": Base("bert", _BERT, "layer", "word_embeddings", "LayerNorm", "label"),
    "roberta": Base("roberta", _BERT, "layer", "word_embeddings", "LayerNorm", "label"),
    "xlm-roberta": Base("xlm-roberta", _BERT, "layer", "word_embeddings", "LayerNorm", "label"),
    "deberta-v2": Base(
        "deberta-v2", ("query_proj", "value_proj"), "layer", "word_embeddings", "LayerNorm", "label"
    ),
    "distilbert": Base(
        "distilbert", ("q_lin", "v_lin", "lin1"), "layer", "word_embeddings", "sa_layer_norm", "label"
    ),
    "electra": Base("electra", _BERT, "layer", "word_embeddings", "LayerNorm", "label"),
}


@dataclass(frozen=True)
class Draw:
    """An adapter that was drawn. `edits` are written into the config that PEFT saved: PEFT alone does not make them."""

    name: str
    base: Path
    options: tuple[str, ...]
    values: Values
    edits: Values
    seed: int

    def load(self, folder: Path | None = None) -> PreTrainedModel:
        """The base, or what was made of it, as PEFT's users load it. What its files lack is drawn from one seed."""
        torch.manual_seed(0)
        auto_class, options = BASES[self.name].auto_class
        net: PreTrainedModel = auto_class.from_pretrained(folder or self.base, **options)
        net.eval()
        return net


def save_base(folder: Path, name: str, seed: int) -> Path:
    """A base with weights that are far from zero, and a tokenizer."""
    base = BASES[name]
    family = FAMILIES.get(base.model_type, FAMILIES["bert" if base.is_encoder else "llama"])
    tokenizer = family.tiny_tokenizer(_WORDS)
    tokenizer.save_pretrained(folder)
    sizes = {"vocab_size": max(len(tokenizer), 64), **base.changes}
    if base.kind == "label" and not base.is_encoder:
        sizes |= {"pad_token_id": 0}  # the token that a decoder's classifier does not read
    if base.model_type in _UNKNOWN:
        config = AutoConfig.for_model(base.model_type, **_UNKNOWN[base.model_type], **sizes)
    else:
        config = FAMILIES[base.model_type].tiny_config(None, **sizes)
    torch.manual_seed(seed)
    auto_class: Any = AutoModel if base.is_encoder else AutoModelForCausalLM
    net: PreTrainedModel = auto_class.from_config(config)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.6 / parameter.shape[-1] ** 0.5)
    net.save_pretrained(folder)
    return folder


# ---- a value for every option

Drawer = Callable[[random.Random, Base], Values]


def _targets(rng: random.Random, base: Base) -> list[str]:
    return rng.sample(base.linear, rng.randint(1, len(base.linear)))


def _on_linear(init: str) -> Drawer:
    return lambda rng, base: {"init_lora_weights": init, "target_modules": _targets(rng, base), "r": 4}


def _patterns(rng: random.Random, base: Base, values: list[int]) -> dict[str, int]:
    keys = [
        rng.choice(base.linear),
        rf"{base.layers}\.1\..*",
        rf"{base.layers}\.0\.[^.]*\.{rng.choice(base.linear)}",
    ]
    return {key: rng.choice(values) for key in rng.sample(keys, 2)}


def _embedding(rng: random.Random, base: Base) -> Values:
    return {"target_modules": [*_targets(rng, base), base.embedding]}


def _saved(rng: random.Random, base: Base) -> Values:
    head = "embed_out" if base.model_type == "gpt_neox" else "lm_head"
    some = [[base.norm], [base.embedding], [base.norm, base.embedding]]
    return {"modules_to_save": rng.choice(some + [[head], [base.norm, head]] * (base.kind == "text"))}


OPTIONS: dict[str, Drawer] = {
    "r": lambda rng, _: {"r": rng.choice([1, 2, 3, 8])},
    "target_modules": lambda rng, base: {"target_modules": _targets(rng, base)},
    "target_modules: regex": lambda rng, base: {"target_modules": rf".*\.{rng.choice(base.linear)}"},
    "target_modules: all-linear": lambda _, __: {"target_modules": "all-linear"},
    "target_modules: embeddings": _embedding,
    "exclude_modules": lambda rng, base: {
        "target_modules": list(base.linear[:3]),
        "exclude_modules": [rng.choice(base.linear[:2])],
    },
    "exclude_modules: regex": lambda _, base: {"exclude_modules": rf".*{base.layers}\.0\..*"},
    "lora_alpha": lambda rng, _: {"lora_alpha": rng.choice([1, 5, 12.5, 64])},
    "lora_dropout": lambda rng, _: {"lora_dropout": rng.choice([0.05, 0.5])},
    "fan_in_fan_out": lambda rng, _: {"fan_in_fan_out": rng.random() < 0.5},
    "bias: all": lambda _, __: {"bias": "all"},
    "bias: lora_only": lambda _, __: {"bias": "lora_only"},
    "use_rslora": lambda _, __: {"use_rslora": True},
    "modules_to_save": _saved,
    "modules_to_save: more": _saved,
    "init: True": lambda _, __: {"init_lora_weights": True},
    "init: gaussian": lambda _, __: {"init_lora_weights": "gaussian"},
    "init: pissa": _on_linear("pissa"),
    "init: pissa again": _on_linear("pissa"),
    "init: olora": _on_linear("olora"),
    "init: eva": _on_linear("eva"),
    "init: orthogonal": _on_linear("orthogonal"),
    "init: mica": _on_linear("mica"),
    "init: pissa_niter": _on_linear("pissa_niter_4"),
    "init: loftq": lambda _, __: {
        "edits": {"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4, "loftq_iter": 1}}
    },
    "init: corda": lambda _, __: {"edits": {"init_lora_weights": "corda"}},
    "init: lora_ga": lambda _, __: {"edits": {"init_lora_weights": "lora_ga"}},
    "layers_to_transform": lambda rng, _: {"layers_to_transform": rng.choice([0, [1], [0, 1]])},
    "layers_pattern": lambda _, base: {"layers_to_transform": [1], "layers_pattern": base.layers},
    "rank_pattern": lambda rng, base: {"rank_pattern": _patterns(rng, base, [1, 2, 6])},
    "alpha_pattern": lambda rng, base: {"alpha_pattern": _patterns(rng, base, [2, 7, 24])},
    "rank_pattern and alpha_pattern": lambda rng, base: {
        "rank_pattern": _patterns(rng, base, [1, 2, 6]),
        "alpha_pattern": _patterns(rng, base, [2, 7, 24]),
        "use_rslora": rng.random() < 0.5,
    },
    "megatron_core": lambda _, __: {"megatron_core": "megatron.core"},
    "qalora_group_size": lambda _, __: {"qalora_group_size": 4},
    "runtime_config": lambda _, __: {"runtime_config": LoraRuntimeConfig(ephemeral_gpu_offload=True)},
    "corda_config": lambda _, __: {"edits": {"corda_config": {"corda_method": "ipm"}}},
    "eva_config": lambda _, __: {"edits": {"eva_config": {"rho": 1.5}}},
    "loftq_config": lambda _, __: {"edits": {"loftq_config": {"loftq_bits": 4}}},
    "lora_ga_config": lambda _, __: {"edits": {"lora_ga_config": {"scale": "unit"}}},
    "ensure_weight_tying": lambda _, __: {"ensure_weight_tying": True},
    "revision": lambda _, __: {"revision": "main"},
    "inference_mode": lambda _, __: {"edits": {"inference_mode": False}},
    # more than LoRA
    "megatron_config": lambda _, __: {"edits": {"megatron_config": {"tensor_model_parallel_size": 1}}},
    "trainable_token_indices": lambda _, __: {"trainable_token_indices": [3, 5]},
    "use_dora": lambda rng, base: {"use_dora": True, "target_modules": _targets(rng, base)},
    "velora_config": lambda _, __: {"edits": {"velora_config": {"num_groups": 2}}},
    "alora_invocation_tokens": lambda rng, base: {
        "alora_invocation_tokens": [5],
        "target_modules": _targets(rng, base),
    },
    "use_qalora": lambda _, __: {"edits": {"use_qalora": True}},
    "monteclora_config": lambda _, __: {"edits": {"monteclora_config": {"num_samples": 2}}},
    "layer_replication": lambda _, __: {"edits": {"layer_replication": [[0, 2], [0, 2]]}},
    "lora_bias": lambda rng, base: {"lora_bias": True, "target_modules": _targets(rng, base)},
    "target_parameters": lambda _, __: {"edits": {"target_parameters": ["experts.gate_up_proj"]}},
    "use_bdlora": lambda _, __: {"edits": {"use_bdlora": {"nblocks": 2}}},
    "arrow_config": lambda _, __: {"edits": {"arrow_config": {"top_k": 1}}},
    "kasa_config": lambda _, __: {"edits": {"kasa_config": {"beta": 1e-4}}},
}
"""By name, values of LoraConfig; those under "edits" are written into the file that PEFT saves."""

_HARMLESS = list(OPTIONS)[: list(OPTIONS).index("init: True")]
PLAIN = list(OPTIONS)[: list(OPTIONS).index("init: pissa_niter")]
"""Options that lorafit knows."""


def draw(rng: random.Random, option: str, bases: Mapping[str, Path]) -> Draw:
    """An adapter with that option, and some others that lorafit knows."""
    name = rng.choice(list(bases))
    base = BASES[name]
    others = [other for other in _HARMLESS if rng.random() < 0.12]
    values: Values = {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": _targets(rng, base),
        "init_lora_weights": False,
    }
    values["task_type"] = "CAUSAL_LM" if base.kind == "text" else "SEQ_CLS"
    if base.kind == "label" and base.model_type in ("deberta-v2", "distilbert") and rng.random() < 0.8:
        values["modules_to_save"] = ["pooler" if base.model_type == "deberta-v2" else "pre_classifier"]
    head = values.get("modules_to_save", [])
    for each in (*others, option):
        values |= OPTIONS[each](rng, base)
    values["modules_to_save"] = [*values.get("modules_to_save", []), *head] or None
    edits = values.pop("edits", {})
    return Draw(
        name, bases[name], tuple(dict.fromkeys((*others, option))), values, edits, rng.randrange(1 << 30)
    )


def save_adapter(drawn: Draw, folder: Path) -> None:
    """Make the adapter with PEFT, let everything that trains be somewhere else, and save it."""
    base = drawn.load()
    model = get_peft_model(base, LoraConfig(**drawn.values))
    generator = torch.Generator().manual_seed(drawn.seed)
    tables = {id(m): m for m in base.modules() if isinstance(m, nn.Embedding)}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise, alpha=0.15 if "lora_" in name else 0.1)
            if "lora_embedding_A" in name:  # training leaves the padding token as it is
                padding = [m.padding_idx for m in tables.values() if m.num_embeddings == parameter.shape[1]]
                for index in padding:
                    if index is not None:
                        parameter[:, index] = 0.0
    model.save_pretrained(str(folder))
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | drawn.edits))
