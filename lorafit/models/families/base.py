"""What is known of one architecture: where its parts are, what it allows, and a tiny one of its kind."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor, nn

from lorafit import lora
from lorafit.errors import RecipeError, SetKey, did_you_mean
from lorafit.metrics import Kind
from lorafit.models.families.heads import Head
from lorafit.models.families.reach import Matrices, any_number, out_of_reach, uneven
from lorafit.models.families.tiny import DECODER, Specials, byte_pairs, words
from lorafit.models.families.words import ALL_LINEAR, LOGICAL_TARGETS

if TYPE_CHECKING:  # a merge asks the families, and needs no transformers
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

SIZES: Mapping[str, int] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 160,
}
"""Of a tiny model, in the names that most configs have."""

ConfigT = TypeVar("ConfigT", bound="PretrainedConfig")


@dataclass(frozen=True)
class Place:
    """A module inside a block, and which slice of its output is meant: c_attn holds query, key and value side by side.

    `parts`: how wide the slices are, where they are not equal.
    """

    module: str
    slice: int = 0
    num_slices: int = 1
    parts: Callable[[PretrainedConfig], tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Tiny:
    """How to make a tiny model of the family: sizes and what else its config needs, and its tokenizer's specials.

    `kept`: config keys beside the sizes that decide what the architecture computes.
    """

    config: Mapping[str, object]
    kept: tuple[str, ...] = ()
    specials: Specials = DECODER


@dataclass(frozen=True)
class Family:
    """The facts of one architecture."""

    model_type: str
    backbone: str  # attribute of the task model that holds the pretrained encoder or decoder
    blocks: str  # list of transformer blocks inside the backbone; "" where none was found
    places: Mapping[str, Place]  # logical target -> module inside a block
    heads: Mapping[Kind, Head]
    dropouts: tuple[str, ...]  # config keys of every dropout inside the base
    tiny: Tiny

    # What may be done with it. An architecture of which nothing is known may do nothing but run.
    pluggable_attention: bool = False  # goes through AttentionInterface: examples may share a row
    positions_and_masks: bool = False  # position enters by position_ids alone: beams may share a cache
    bare_output: bool = False  # logits are the output embedding times the last hidden state, and nothing else
    idle_key_bias: bool = False  # absolute positions: a bias on every key changes no attention
    transposed: bool = False  # the matrices of its blocks lie as [in, out]
    counts_from_pad: bool = False  # positions begin behind the pad token's id, as fairseq has them

    # Where methods other than LoRA put their modules.
    sublayer_ends: tuple[str, ...] = ()  # a block's dropouts behind attention and MLP, before the sums
    post_norm: str = ""  # module of a block with dense, dropout and LayerNorm(h + input), the MLP's
    wrapped_blocks: bool = False  # a module may follow every block (Lin et al. 2020)
    positions: str = ""  # table of positions in the backbone that a prefix pushes on

    # Keys of a config that other programs read, and transformers has elsewhere.
    config_aliases: Mapping[str, Callable[[PretrainedConfig], object]] = field(default_factory=dict)

    # Checkpoints of loralib and of the paper's authors.
    loralib_alpha: float | None = (
        None  # of the released ones, since no file of loralib's holds it (paper's scripts)
    )
    loralib_wrapped: bool = False  # {"model_state_dict": {"module.…": …}}
    loralib_names: Mapping[str, str] = field(default_factory=dict)  # what the paper's code calls otherwise
    computed: Mapping[str, Callable[[Tensor], Tensor]] = field(
        default_factory=dict
    )  # globs of buffers that older code saved -> their values, in the shape of the given tensor

    # ---- parts of a net

    def block_prefix(self, net: nn.Module) -> str:
        """Dotted name of the list of blocks in `net`, such as `transformer.h`.

        A net that gives labels may hold the language model in another place than one that writes texts.
        """
        usual = f"{self.backbone}.{self.blocks}" if hasattr(net, self.backbone) else self.blocks
        names = dict(net.named_modules()) if self.blocks else {usual: net}
        ends = (name for name in names if name.startswith(self.backbone) and name.endswith(f".{self.blocks}"))
        return usual if usual in names else next(ends, usual)

    def num_blocks(self, net: nn.Module) -> int:
        """Transformer blocks of `net`."""
        return sum(1 for _ in net.get_submodule(self.block_prefix(net)).children()) if self.blocks else 0

    def attentions(self, net: nn.Module) -> list[nn.Module]:
        """The attention module of every block: the one that holds the query's projection."""
        name = self.places["query"].module.rpartition(".")[0]
        prefix = self.block_prefix(net)
        return [net.get_submodule(f"{prefix}.{i}.{name}") for i in range(self.num_blocks(net))]

    def is_head(self, name: str, kind: Kind) -> bool:
        """Whether a parameter belongs to a head that trains (paper's rule: all that lies outside the encoder; BERT's
        pooler counts as head too)."""
        head = self.heads[kind]
        is_outside = not name.startswith(f"{self.backbone}.")
        return head.trains and (is_outside or name.startswith(tuple(f"{m}." for m in head.of_backbone)))

    def head_module(self, parameter: str) -> str:
        """The module of the head that holds a parameter: `classifier`, or `bert.pooler`."""
        parts = parameter.split(".")
        return ".".join(parts[:2] if parts[0] == self.backbone else parts[:1])

    # ---- targets

    def sites(
        self,
        net: PreTrainedModel,
        targets: Sequence[str],
        unreached: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> list[lora.Site]:
        """The modules that `targets` mean and `exclude` does not, each with its adapted slices. What is meant as a
        whole and by slices is meant as a whole.

        Logical names, globs of module names, "all-linear", or a slice in some blocks (`h.3.query`, where one module
        holds several).
        "all-linear" leaves out the layers `unreached` (`models.learnable`).
        Raises RecipeError when a target matches nothing, with what there is.
        """
        found: dict[str, set[Place]] = {}
        for target in targets:
            for name, place in self._matches(net, target):
                if target == ALL_LINEAR and any_number(name) in unreached:
                    continue
                found.setdefault(name, set()).add(place)
        for pattern in exclude:
            self._take_out(found, self._matches(net, pattern, "exclude"), pattern)
        return [_site(name, found[name], net.config) for name, _ in net.named_modules() if name in found]

    def _take_out(
        self, found: dict[str, set[Place]], excluded: Sequence[tuple[str, Place]], pattern: str
    ) -> None:
        """Raises RecipeError where there is nothing to take, where a whole has a part taken, and where all is gone."""
        where = f"[method] exclude: {pattern!r}"
        before = {name: set(places) for name, places in found.items()}
        for name, place in excluded:
            places = before.get(name, set())
            if place.num_slices > 1 and any(whole.num_slices == 1 for whole in places):
                raise RecipeError(f"{where} is a part of {name}, which targets mean as a whole")
            left = {other for other in found.pop(name, set()) if place.num_slices > 1 and other != place}
            found |= {name: left} if left else {}
        if found == before:
            raise RecipeError(f"{where} matches nothing that targets mean")
        if not found:
            raise RecipeError(f"{where} leaves nothing of what targets mean")

    def _matches(self, net: PreTrainedModel, target: str, key: str = "targets") -> list[tuple[str, Place]]:
        if target == ALL_LINEAR and (linear := self.linear(net)):
            return [(name, Place(name)) for name in linear]
        if target in self.places:
            place, prefix = self.places[target], self.block_prefix(net)
            return [(f"{prefix}.{i}.{place.module}", place) for i in range(self.num_blocks(net))]
        if sliced := self._slices_in_blocks(net, target):
            return sliced
        known = ", ".join((*self.places, *([] if target == ALL_LINEAR else [ALL_LINEAR])))
        if target in (*LOGICAL_TARGETS, ALL_LINEAR):
            has = f"{self.model_type} has no {'linear layers' if target == ALL_LINEAR else repr(target)}"
            why = self._why_not_linear(net, target)
            raise RecipeError(f"[method] {key}: {has}{why}; it has {known or 'none of the usual ones'}")
        try:
            return [(name, Place(name)) for name in lora.find(net, [target])]
        except RecipeError as error:
            why, hint = self._why_not_linear(net, target), did_you_mean(target, (*self.places, ALL_LINEAR))
            raise RecipeError(f"[method] {key}: {error}{why}; logical targets are {known}{hint}") from None

    def _why_not_linear(self, net: PreTrainedModel, target: str) -> str:
        """What a target means that no LoRA layer can stand in for; mostly nothing."""
        beside = Matrices.of(net, self.block_prefix(net)).meant_by(target)
        return f"; {beside} are no linear layers" if beside else ""

    def shortfalls(
        self, net: PreTrainedModel, targets: Sequence[str], unreached: Sequence[str] = ()
    ) -> list[str]:
        """A note on everything that the words of `targets` promise and that gets no adapter.

        Raises RecipeError for a logical name that has matrices beside the linear layer that it would adapt, and for a
        target of which nothing, or by its own words not everything, is ever reached.
        """
        prefix, modules = self.block_prefix(net), dict(net.named_modules())
        every = Matrices.of(net, prefix)
        notes: dict[str, list[str]] = {}
        for target in targets:
            beside = every.meant_by(target)
            if beside and target in self.places:
                raise RecipeError(
                    f"[method] targets: {target!r} would adapt {self.places[target].module} alone, and not {beside}, "
                    f"which are no linear layers",
                    SetKey("method.targets", note=f'"{self.places[target].module}" means just that'),
                )
            if beside:
                notes.setdefault(str(beside), []).append(repr(target))
        left_out = [
            f"targets: {', '.join(words)} adapts nothing of {beside}, which are no linear layers"
            for beside, words in notes.items()
        ]
        matched = {t: [name for name, _ in self._matches(net, t) if name in modules] for t in targets}
        left_out += out_of_reach(matched, unreached)
        return [*left_out, *uneven(matched, list(lora.adaptable(net)), prefix, self.num_blocks(net))]

    def _slices_in_blocks(self, net: PreTrainedModel, target: str) -> list[tuple[str, Place]]:
        """What `h.3.query` means: a slice of a fused projection in the blocks that match, as if it were a module."""
        pattern, _, logical = target.rpartition(".")
        place = self.places.get(logical)
        if not pattern or place is None or place.num_slices == 1:
            return []
        blocks = [f"{self.block_prefix(net)}.{i}" for i in range(self.num_blocks(net))]
        return [(f"{name}.{place.module}", place) for name in blocks if lora.matches(name, pattern)]

    def linear(self, net: PreTrainedModel) -> list[str]:
        """The names of every linear layer of the backbone but those of the head, and but the output embedding."""
        inside = f"{self.backbone}." if hasattr(net, self.backbone) else ""
        heads = tuple(f"{module}." for head in self.heads.values() for module in head.of_backbone)
        output = net.get_output_embeddings()
        return [
            name
            for name, module in net.named_modules()
            if name.startswith(inside)
            and not f"{name}.".startswith(heads)
            and module is not output
            and lora.Linear.adapts(module)
        ]

    # ---- facts that hang on the config

    def text_config(self, config: PretrainedConfig) -> PretrainedConfig:
        """The config of the language model: `config` itself, or the one nested in it."""
        return config.get_text_config(decoder=True)

    def width(self, config: PretrainedConfig) -> int | None:
        """Values of a token's hidden state; None where the config does not say."""
        width: int | None = getattr(self.text_config(config), "hidden_size", None)
        return width

    def num_positions(self, config: PretrainedConfig) -> int | None:
        """Tokens of the longest text; None where there is no limit."""
        limit: int | None = getattr(self.text_config(config), "max_position_embeddings", None)
        return None if limit is None or limit < 0 else limit - self.first_position(config)

    def check_room(self, config: PretrainedConfig, num_taken: int) -> None:
        """Raises RecipeError where a method takes all positions, and none is left for a text."""
        positions = self.num_positions(config)
        if positions is not None and num_taken >= positions:
            raise RecipeError(
                f"[method] length: {num_taken} leaves no room for a text in {positions} positions",
                SetKey("method.length", note="lower"),
            )

    def first_position(self, config: PretrainedConfig) -> int:
        """The position id of an example's first token."""
        return int(config.pad_token_id) + 1 if self.counts_from_pad else 0

    def window(self, config: PretrainedConfig, layer: int) -> int | None:
        """To how many tokens, itself among them, a token of a layer attends; None for all before it."""
        text = self.text_config(config)
        kinds = getattr(text, "layer_types", None)
        slides = kinds is None or kinds[layer] == "sliding_attention"
        window: int | None = getattr(text, "sliding_window", None)
        return window if slides else None

    def has_window(self, config: PretrainedConfig) -> bool:
        """Whether there are texts in which some layer does not attend to all."""
        text, limit = self.text_config(config), self.num_positions(config)
        if getattr(text, "sliding_window", None) is None:
            return False
        windows = (self.window(config, layer) for layer in range(text.num_hidden_layers))
        return any(window is not None and (limit is None or window < limit) for window in windows)

    def has_bare_output(self, config: PretrainedConfig) -> bool:
        """Whether logits are the output embedding times the last hidden state: no scale, no soft-capping."""
        text = self.text_config(config)
        is_capped = bool(getattr(text, "final_logit_softcapping", None))
        return self.bare_output and not is_capped and getattr(text, "logits_scaling", 1.0) == 1.0

    def stop_tokens(
        self, config: PretrainedConfig, generation: GenerationConfig | None = None
    ) -> tuple[int, ...]:
        """The tokens that end a text, in the order of the configs, each once."""
        of_generation = [] if generation is None else token_ids(generation.eos_token_id)
        return tuple(dict.fromkeys([*token_ids(self.text_config(config).eos_token_id), *of_generation]))

    def with_layers(self, config: ConfigT, num_layers: int) -> ConfigT:
        """The same config with another number of layers."""
        changed = copy.deepcopy(config)
        text = self.text_config(changed)
        for key, value in vars(text).items():
            if (
                isinstance(value, list) and len(value) == text.num_hidden_layers
            ):  # layer_types, no_rope_layers
                setattr(text, key, [value[i % len(value)] for i in range(num_layers)])
        text.num_hidden_layers = num_layers
        return changed

    # ---- a tiny one

    def tiny_config(self, like: PretrainedConfig | None = None, **changes: object) -> PretrainedConfig:
        """A config of two narrow layers, with what makes `like` the model it is. Sizes go by their usual names."""
        from transformers import CONFIG_MAPPING, AutoConfig

        kept = {} if like is None else {k: v for k, v in like.to_diff_dict().items() if k in self.tiny.kept}
        own_names = CONFIG_MAPPING[self.model_type].attribute_map
        values = {own_names.get(k, k): v for k, v in {**self.tiny.config, **kept, **changes}.items()}
        return AutoConfig.for_model(self.model_type, **values)

    def tiny_tokenizer(self, texts: Sequence[str]) -> PreTrainedTokenizerFast:
        """Bytes and their frequent pairs for decoders, words for encoders: learned from `texts`."""
        return (
            byte_pairs(texts, self.tiny.specials)
            if "text" in self.heads
            else words(texts, self.tiny.specials)
        )


def token_ids(given: int | list[int] | None) -> list[int]:
    """As configs write them: none, one, or several."""
    return given if isinstance(given, list) else [] if given is None else [given]


def _site(name: str, places: set[Place], config: PretrainedConfig) -> lora.Site:
    num_slices = min(place.num_slices for place in places)
    if num_slices == 1:
        return lora.Site(name)
    parts = next(iter(places)).parts
    chosen = {place.slice for place in places}
    enabled = tuple(i in chosen for i in range(num_slices))
    return lora.Site(name, enabled, parts(config) if parts is not None else None)
