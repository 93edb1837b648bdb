"""One table: model_type -> where query, key, value, output, up and down live, and in what layout.

To support another architecture, add one Family here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from transformers import PretrainedConfig

from lorafit.errors import RecipeError, did_you_mean
from lorafit.lora import Site, find

LOGICAL_TARGETS = ("query", "key", "value", "output", "up", "down")


@dataclass(frozen=True)
class Place:
    """A module inside a block, and which of its equal output slices is meant: c_attn holds q, k and v side by side."""

    module: str
    slice: int = 0
    num_slices: int = 1


@dataclass(frozen=True)
class Family:
    """The parts of one architecture."""

    model_type: str
    backbone: str  # attribute of the task model that holds the pretrained encoder or decoder
    blocks: str  # list of transformer blocks inside the backbone
    places: dict[str, Place]  # logical target -> module inside a block
    dropouts: tuple[str, ...]  # config keys of every dropout inside the base
    sublayer_ends: tuple[str, ...] = ()  # a block's dropouts behind attention and MLP, before the sums
    post_norm: str = ""  # module of a block with dense, dropout and LayerNorm(h + input), the MLP's
    positions: str = ""  # table of positions in the backbone that a prefix pushes on
    head_dropout: str = ""  # config key of the dropout before the classifier
    pooler: str = ""  # module of the backbone that belongs to the head all the same
    head: tuple[
        str, ...
    ] = ()  # modules that lead from the encoder's output [n, length, d] to [n, outputs], in order
    kept_head: str = ""  # module of the head that a warm start takes along (paper's _pre_load_hook)
    counts_from_pad: bool = False  # positions begin behind the pad token's id, as fairseq has them
    packs: bool = True  # attention goes through transformers' AttentionInterface, so examples can share a row

    @property
    def is_encoder(self) -> bool:
        """Whether it has a head for labels; a decoder has one for words."""
        return bool(self.head)

    def first_position(self, config: PretrainedConfig) -> int:
        """The position id of an example's first token."""
        return int(config.pad_token_id) + 1 if self.counts_from_pad else 0

    def block_prefix(self, net: nn.Module) -> str:
        """Dotted name of the list of blocks in `net`, such as `transformer.h`."""
        return f"{self.backbone}.{self.blocks}" if hasattr(net, self.backbone) else self.blocks

    def num_blocks(self, net: nn.Module) -> int:
        """Transformer blocks of `net`."""
        return len(net.get_submodule(self.block_prefix(net)))  # type: ignore[arg-type]

    def attentions(self, net: nn.Module) -> list[nn.Module]:
        """The attention module of every block: the one that holds the query's projection."""
        name = self.places["query"].module.rpartition(".")[0]
        prefix = self.block_prefix(net)
        return [net.get_submodule(f"{prefix}.{i}.{name}") for i in range(self.num_blocks(net))]

    def is_head(self, name: str) -> bool:
        """Whether a parameter lies outside the encoder (paper's rule; BERT's and DeBERTa's poolers count as head)."""
        inside = name.startswith(f"{self.backbone}.")
        return not inside or bool(self.pooler and name.startswith(f"{self.backbone}.{self.pooler}."))

    def head_module(self, parameter: str) -> str:
        """The module of the head that holds a parameter: `classifier`, or `bert.pooler`."""
        parts = parameter.split(".")
        return ".".join(parts[:2] if parts[0] == self.backbone else parts[:1])

    def sites(self, net: nn.Module, targets: Sequence[str]) -> list[Site]:
        """The modules that `targets` (logical names, or globs of module names) mean, each with its adapted slices.

        Raises RecipeError when a target matches nothing, with what there is.
        """
        enabled: dict[str, set[int]] = {}
        slices: dict[str, int] = {}
        for target in targets:
            for name, place in self._matches(net, target):
                enabled.setdefault(name, set()).update({place.slice} if place.num_slices > 1 else {0})
                slices[name] = place.num_slices
        return [
            Site(name, tuple(i in enabled[name] for i in range(slices[name])))
            for name, _ in net.named_modules()
            if name in enabled
        ]

    def _matches(self, net: nn.Module, target: str) -> list[tuple[str, Place]]:
        if target in self.places:
            place, prefix = self.places[target], self.block_prefix(net)
            return [(f"{prefix}.{i}.{place.module}", place) for i in range(self.num_blocks(net))]
        if target in LOGICAL_TARGETS:
            raise RecipeError(
                f"[method] targets: {self.model_type} has no {target!r}; it has {', '.join(self.places)}"
            )
        try:
            return [(name, Place(name)) for name in find(net, [target])]
        except RecipeError as error:
            logical = ", ".join(self.places)
            raise RecipeError(
                f"[method] targets: {error}; logical targets are {logical}{did_you_mean(target, self.places)}"
            ) from None


def _encoder(model_type: str, **overrides: object) -> Family:
    """BERT and RoBERTa share one layout."""
    places = {
        "query": Place("attention.self.query"),
        "key": Place("attention.self.key"),
        "value": Place("attention.self.value"),
        "output": Place("attention.output.dense"),
        "up": Place("intermediate.dense"),
        "down": Place("output.dense"),
    }
    fields: dict[str, object] = {
        "backbone": model_type,
        "blocks": "encoder.layer",
        "places": places,
        "sublayer_ends": ("attention.output.dropout", "output.dropout"),
        "post_norm": "output",
        "dropouts": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
        "head_dropout": "classifier_dropout",
        "head": ("classifier",),
    }
    return Family(model_type, **{**fields, **overrides})  # type: ignore[arg-type]


def _llama_like(model_type: str) -> Family:
    places = {
        "query": Place("self_attn.q_proj"),
        "key": Place("self_attn.k_proj"),
        "value": Place("self_attn.v_proj"),
        "output": Place("self_attn.o_proj"),
        "up": Place("mlp.up_proj"),
        "down": Place("mlp.down_proj"),
    }
    return Family(model_type, "model", "layers", places, dropouts=("attention_dropout",))


_GPT2 = Family(
    "gpt2",
    backbone="transformer",
    blocks="h",
    places={
        "query": Place("attn.c_attn", 0, 3),
        "key": Place("attn.c_attn", 1, 3),
        "value": Place("attn.c_attn", 2, 3),
        "output": Place("attn.c_proj"),
        "up": Place("mlp.c_fc"),
        "down": Place("mlp.c_proj"),
    },
    dropouts=("attn_pdrop", "embd_pdrop", "resid_pdrop"),
    sublayer_ends=("attn.resid_dropout", "mlp.dropout"),
    positions="wpe",
)

_DEBERTA_V2 = _encoder(
    "deberta-v2",
    backbone="deberta",
    head_dropout="cls_dropout",
    head=("pooler", "dropout", "classifier"),
    kept_head="pooler",
    packs=False,
    places={
        "query": Place("attention.self.query_proj"),
        "key": Place("attention.self.key_proj"),
        "value": Place("attention.self.value_proj"),
        "output": Place("attention.output.dense"),
        "up": Place("intermediate.dense"),
        "down": Place("output.dense"),
    },
)

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        _GPT2,
        _encoder("roberta", counts_from_pad=True),
        _encoder("xlm-roberta", backbone="roberta", counts_from_pad=True),
        _encoder("bert", pooler="pooler", head=("bert.pooler", "dropout", "classifier")),
        _DEBERTA_V2,
        _llama_like("llama"),
        _llama_like("mistral"),
        _llama_like("qwen2"),
        _llama_like("qwen3"),
    )
}


def family_of(model_type: str, base: str) -> Family:
    """The family of a config's model_type. Raises RecipeError for an architecture that lorafit does not know."""
    if model_type not in FAMILIES:
        hint = did_you_mean(model_type, FAMILIES)
        raise RecipeError(
            f"[model] base: {base} has architecture {model_type!r}, which lorafit does not know; "
            f"known: {', '.join(FAMILIES)}{hint}"
        )
    return FAMILIES[model_type]
