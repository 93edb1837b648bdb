"""The family of an architecture without a file: what can be found in a net's shape and in its config."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

import torch
from torch import nn
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.auto_factory import _BaseAutoModelClass

from lorafit import lora
from lorafit.metrics import Kind
from lorafit.models.families.base import Family, Place, Tiny
from lorafit.models.families.heads import TEXT, Head, label_heads
from lorafit.models.families.words import USUAL_NAMES

_DROPOUT_ENDS = ("pdrop", "dropout", "dropout_prob")
_HEAD_DROPOUTS = ("classifier_dropout", "classifier_dropout_prob", "cls_dropout", "seq_classif_dropout")


def family_by_structure(config: PretrainedConfig) -> Family:
    """What the config and the shapes of its nets tell; places and blocks are empty where they tell nothing.

    It may do nothing that must first be proven: no shared rows, no shared cache, no logits but the net's own.
    """
    return _found(_Key(repr(config.to_dict()), copy.deepcopy(config)))


@dataclass(frozen=True)
class _Key:
    """A config by what is written in it."""

    document: str
    config: PretrainedConfig = field(compare=False)


@lru_cache(maxsize=16)
def _found(key: _Key) -> Family:
    config = key.config
    is_encoder = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    writer = None if is_encoder else _shape(AutoModelForCausalLM, config)
    heads: dict[Kind, Head] = {} if writer is None else {"text": TEXT}
    if (head := _label_head(config, "first" if is_encoder else "last")) is not None:
        heads |= label_heads(head)
    net = writer if writer is not None else _shape(AutoModel, config)
    family = Family(config.model_type, "", "", {}, heads, tuple(_dropouts(config)), Tiny({}))
    if net is None:
        return family
    prefix = net.base_model_prefix
    blocks = _blocks(net)
    return replace(
        family,
        backbone=prefix,
        blocks=blocks.removeprefix(f"{prefix}."),
        places=_places(net.get_submodule(blocks)) if blocks else {},
        counts_from_pad=_counts_from_pad(net),
    )


def _shape(auto_class: type[_BaseAutoModelClass], config: PretrainedConfig) -> PreTrainedModel | None:
    """The net on the meta device; None where transformers has none, or none that can be built so."""
    try:
        with torch.device("meta"):
            net: PreTrainedModel = auto_class.from_config(copy.deepcopy(config), trust_remote_code=False)
    except Exception:  # whatever a config makes its net raise
        return None
    return net


def _label_head(config: PretrainedConfig, reads: Literal["first", "last"]) -> Head | None:
    """Its way is known to the net alone; a pooler counts as a part of it."""
    marked = copy.deepcopy(config)
    marks = {key: (i + 1) / 64 for i, key in enumerate(_HEAD_DROPOUTS) if hasattr(config, key)}
    for key, mark in marks.items():
        setattr(marked, key, mark)
    net = _shape(AutoModelForSequenceClassification, marked)
    if net is None or not hasattr(net, net.base_model_prefix):
        return None
    pooler = f"{net.base_model_prefix}.pooler"
    modules = dict(net.named_modules())
    drops = {module.p for module in modules.values() if isinstance(module, nn.Dropout)}
    outputs = [
        name
        for name, module in modules.items()
        if isinstance(module, nn.Linear)
        and module.out_features == config.num_labels
        and not name.startswith(f"{net.base_model_prefix}.")
    ]
    return Head(
        reads,
        output=outputs[-1] if outputs else "",
        of_backbone=(pooler,) if pooler in modules else (),
        dropout_key=next((key for key, mark in marks.items() if mark in drops), ""),
    )


def _dropouts(config: PretrainedConfig) -> Iterator[str]:
    """Config keys that hold the probability of a dropout inside the base."""
    for key, value in config.get_text_config(decoder=True).to_dict().items():
        is_head = key in _HEAD_DROPOUTS or key.startswith("summary")
        is_number = isinstance(value, float | int) and not isinstance(value, bool)
        if key.endswith(_DROPOUT_ENDS) and is_number and not is_head:
            yield key


def _blocks(net: PreTrainedModel) -> str:
    """The list of modules that are alike, not inside another one, with the most parameters; "" where there is none."""
    lists = {name: module for name, module in net.named_modules() if isinstance(module, nn.ModuleList)}
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    whole = set(net._no_split_modules or ())

    def rank(name: str) -> tuple[bool, int]:
        kinds = {type(block).__name__ for block in lists[name]}
        return bool(kinds & whole), sum(p.numel() for p in lists[name].parameters())

    return max((name for name in outer if len(lists[name])), key=rank, default="")


def _places(blocks: nn.Module) -> dict[str, Place]:
    """Logical target -> the one linear layer in the blocks whose name ends as such layers usually do."""
    linear = dict.fromkeys(
        name
        for block in blocks.children()
        for name, module in block.named_modules()
        if lora.Linear.adapts(module)
    )
    places: dict[str, Place] = {}
    for target, ends in USUAL_NAMES.items():
        taken = {place.module for place in places.values()}
        found = [n for n in linear if n not in taken and any(f".{n}".endswith(f".{end}") for end in ends)]
        if len(found) == 1:
            places[target] = Place(found[0])
    return places


def _counts_from_pad(net: PreTrainedModel) -> bool:
    """Whether its table of positions has a row for padding, as RoBERTa's has."""
    return any(
        name.endswith("position_embeddings")
        and isinstance(module, nn.Embedding)
        and module.padding_idx is not None
        for name, module in net.named_modules()
    )
