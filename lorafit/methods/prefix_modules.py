"""The modules of prefix tuning: the table that trains, and the reader that shows it to the attention layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache, DynamicLayer

from lorafit.lora import replace
from lorafit.models import Model
from lorafit.models.families import Place

_STD = 0.02  # of a table without reparameterisation (microsoft/LoRA, branch snapshot-9-15-2021)


class Table(nn.Module):
    """What is saved of a prefix: values [..., length, width]."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    @classmethod
    def fresh(cls, shape: tuple[int, ...], device: torch.device, generator: torch.Generator | None) -> Table:
        """Drawn from N(0, 0.02)."""
        return cls(nn.init.normal_(torch.empty(shape, device=device), std=_STD, generator=generator))

    def forward(self) -> Tensor:
        return self.values


class Reparameterisation(nn.Module):
    """What trains in the place of a Table: out(tanh(hidden(embedding)))  (Li & Liang 2021, section 4.3).

    embedding [length, width]; the result has the table's shape [..., length, columns]. Always in float32, as what is
    saved of it. Drawn as the original program draws it, by torch's defaults: the embedding from N(0, 1), the linear
    maps from U(-1 / sqrt(inputs), 1 / sqrt(inputs)).
    """

    def __init__(self, shape: tuple[int, ...], width: int, num_hidden: int, device: torch.device) -> None:
        super().__init__()
        self.shape = shape
        length = shape[-2]
        self.embedding = nn.Parameter(torch.empty(length, width, device=device))
        self.hidden = nn.Linear(width, num_hidden, device=device)
        self.out = nn.Linear(num_hidden, math.prod(shape) // length, device=device)

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Draw everything anew."""
        nn.init.normal_(self.embedding, generator=generator)
        for linear in (self.hidden, self.out):
            bound = 1.0 / math.sqrt(linear.in_features)
            nn.init.uniform_(linear.weight, -bound, bound, generator=generator)
            nn.init.uniform_(linear.bias, -bound, bound, generator=generator)

    def forward(self) -> Tensor:
        *outer, length, columns = self.shape
        device = self.embedding.device.type
        with nullcontext() if device == "meta" else torch.autocast(device, enabled=False):
            rows: Tensor = self.out(torch.tanh(self.hidden(self.embedding)))
        return rows.view(length, *outer, columns).movedim(0, -2).contiguous()


class PrefixReader(nn.Module):
    """The backbone's child `prefix`: before each pass of the backbone it makes the prefix's keys and values.

    With gradients they are made anew for every pass, and stay for a backward pass that recomputes activations. In eval
    mode without gradients they are kept until the table changes or the mode is set again, so that decoding pays for
    them once a batch.
    """

    states: Tensor | None  # [layers, 2, key-value heads, length, head_dim], of the last pass

    def __init__(self, table: Table | Reparameterisation, num_heads: int, *, is_embedding: bool) -> None:
        super().__init__()
        self.table = table
        self.num_heads = num_heads  # of keys and values
        self.is_embedding = is_embedding
        self.states = None
        self._made_from: tuple[tuple[int, torch.device], ...] = ()
        self._reading = False

    def serve(self, backbone: nn.Module, attentions: Iterable[nn.Module]) -> None:
        """Become the backbone's `prefix`, and that of each of its attention modules."""
        backbone.prefix = self
        backbone.register_forward_pre_hook(self._before)
        for layer, attention in enumerate(attentions):
            vars(attention)["prefix"] = LayerPrefix(self, layer)  # nn.Module expects a module or a tensor

    def finish(self) -> None:
        """Put what the reparameterisation gives in its place."""
        with torch.no_grad():
            self.table = Table(self.table().detach().clone())
        self.states = None

    def train(self, mode: bool = True) -> PrefixReader:
        """As every module, and forget what was kept."""
        self.states = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        """For a copy: without the states, since a tensor with a history cannot be copied."""
        return {**vars(self), "states": None}

    def _before(self, backbone: nn.Module, _inputs: Any) -> None:
        if self._reading:
            return
        version = tuple((p._version, p.device) for p in self.table.parameters())
        if torch.is_grad_enabled() or self.training or version != self._made_from:
            self.states = None
        if self.states is None:
            self._reading = True
            try:
                self.states, self._made_from = self._read(backbone), version
            finally:
                self._reading = False

    def _read(self, backbone: nn.Module) -> Tensor:
        """The keys and values of every layer."""
        values: Tensor = self.table()
        if not self.is_embedding:  # [layers, 2, length, heads * head_dim]
            heads: Tensor = values.unflatten(-1, (self.num_heads, -1))
            return heads.transpose(-3, -2)
        cache = DynamicCache(config=backbone.config)  # type: ignore[arg-type]
        values = values.to(backbone.get_input_embeddings().weight.dtype)  # type: ignore[operator]
        positions = torch.arange(-len(values), 0, device=values.device)
        with _activations_kept(backbone):
            backbone(
                inputs_embeds=values[None],
                position_ids=positions[None],
                past_key_values=cache,
                use_cache=True,
            )
        states = [(layer.keys, layer.values) for layer in cast(list[DynamicLayer], cache.layers)]
        return torch.stack(
            [torch.cat([keys, values]) for keys, values in states if keys is not None and values is not None]
        )


@contextmanager
def _activations_kept(backbone: nn.Module) -> Iterator[None]:
    """No recomputing, which goes without a cache; for a few tokens it would spare nothing."""
    recomputing = [m for m in backbone.modules() if getattr(m, "gradient_checkpointing", False)]
    try:
        for module in recomputing:
            vars(module)["gradient_checkpointing"] = False
        yield
    finally:
        for module in recomputing:
            vars(module)["gradient_checkpointing"] = True


@dataclass(frozen=True)
class LayerPrefix:
    """What one attention module sees of the prefix (`lorafit.models.attention.packing.AttentionPrefix`)."""

    reader: PrefixReader
    layer: int

    def __call__(self) -> Tensor | None:
        return None if self.reader.states is None else self.reader.states[self.layer]


class PushedPositions(nn.Embedding):
    """A table of positions in which token 0 has the position `offset`: those before are the prefix's."""

    def __init__(self, weight: nn.Parameter, offset: int) -> None:
        num_positions, width = weight.shape
        super().__init__(num_positions, width, _weight=weight)
        self.weight = weight
        self.offset = offset

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input + self.offset)


def fresh_table(
    shape: tuple[int, ...], hidden: int, model: Model, generator: torch.Generator | None
) -> Table | Reparameterisation:
    """A prefix of that shape, or with `hidden` > 0 the network of so many hidden units that it trains through."""
    if not hidden:
        return Table.fresh(shape, model.device, generator)
    table = Reparameterisation(shape, model.net.config.hidden_size, hidden, model.device)
    table.reset_parameters(generator)
    return table


def push_positions(model: Model, length: int) -> None:
    """Push a decoder's text behind the prefix; its config then says how many positions are left."""
    net, family = model.net, model.family
    if family.positions:
        name = f"{family.backbone}.{family.positions}"
        replace(net, name, PushedPositions(net.get_parameter(f"{name}.weight"), length))
    if model.output == "text" or family.positions:
        net.config.max_position_embeddings -= length


def key_shape(attention: nn.Module, key: Place) -> tuple[int, int]:
    """How many heads the keys have, and how wide one is."""
    projection = vars(attention.get_submodule(key.module.rpartition(".")[2]))
    width: int = projection.get("out_features") or projection["nf"]  # Linear, or transformers' Conv1D
    head_width: int = vars(attention).get("head_dim") or vars(attention)["attention_head_size"]
    return width // key.num_slices // head_width, head_width


def reader_of(net: nn.Module) -> PrefixReader:
    """The one that a net with a prefix has."""
    return next(module for module in net.modules() if isinstance(module, PrefixReader))
