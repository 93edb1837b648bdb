"""The modules of adapter tuning. Each takes over the children of the one it replaces, so no base name changes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from lorafit.lora import Draws


class Bottleneck(nn.Module):
    """up(act(down(x))): x [..., width] -> [..., width], with `size` values between."""

    def __init__(self, width: int, size: int, activation: str, norm_eps: float | None = None) -> None:
        super().__init__()
        self.norm = nn.Identity() if norm_eps is None else nn.LayerNorm(width, eps=norm_eps)
        self.down = nn.Linear(width, size)
        self.act = ACT2FN[activation]
        self.up = nn.Linear(size, width)

    def reset_parameters(self, std: float, generator: torch.Generator | None) -> None:
        """Weights from N(0, std), biases 0 (the original code's `_init_weights`)."""
        for linear in (self.down, self.up):
            nn.init.normal_(linear.weight, std=std, generator=generator)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.up(self.act(self.down(self.norm(x))))
        return y


class AdaptedDropout(nn.Module):
    """Stands for the dropout at the end of a sublayer: h = dropout(x);  h + adapter(h)  (Houlsby et al. 2019)."""

    def __init__(self, dropout: nn.Module, adapter: Bottleneck) -> None:
        super().__init__()
        self.dropout = dropout
        self.adapter = adapter

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.dropout(x)
        return torch.add(h, self.adapter(h))


class AdaptedOutput(nn.Module):
    """Stands for the end of a post-norm block (dense, dropout, LayerNorm), its one LayerNorm used twice:

    h = dropout(dense(x));  y = LayerNorm(adapter(LayerNorm(h + input)) + h + input)  (Pfeiffer et al. 2021).

    The original code (microsoft/LoRA, modeling_roberta.py) reads: residual = h;  h = LayerNorm(h + input);
    h = adapter(h) + residual;  LayerNorm(h + input).
    """

    draws: Draws | None = None
    dense: nn.Module
    dropout: nn.Module
    LayerNorm: nn.Module

    def __init__(
        self, output: nn.Module, adapter: Bottleneck, layer: int, depth: RandomDepth | None = None
    ) -> None:
        super().__init__()
        for name, child in output.named_children():
            self.add_module(name, child)
        self.adapter = adapter
        self.layer = layer
        self.depth = depth

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        h: Tensor = self.dropout(self.dense(hidden_states))
        normed: Tensor = self.LayerNorm(h + input_tensor)
        if self.training and self.depth is not None and self.depth.drops(self.layer, self.draws):
            return normed + 0.0 * _sum_of_parameters(self.adapter)
        y: Tensor = self.LayerNorm(self.adapter(normed) + h + input_tensor)
        return y


class RandomDepth:
    """How many of the lower layers go without adapter in a pass, drawn anew for every one (robust AdapterDrop).

    Uniform over `fewest` .. `num_layers` - 1, so the last adapter always works.
    """

    def __init__(self, fewest: int, num_layers: int) -> None:
        self.fewest, self.num_layers = fewest, num_layers
        self.num_dropped = fewest

    def drops(self, layer: int, draws: Draws | None) -> bool:
        """Whether `layer` goes without; asked by every adapted layer in turn, and drawn when the lowest asks.

        Without `draws`, from torch's global generator.
        """
        if layer == self.fewest:
            ends = self.fewest, self.num_layers
            self.num_dropped = int(torch.randint(*ends, ())) if draws is None else draws.integer(*ends)
        return layer < self.num_dropped


class AdaptedBlock(nn.Module):
    """Mixed into the class of a block, an adapter behind it: x + up(act(down(LayerNorm(x))))  (Lin et al. 2020)."""

    adapter: Bottleneck

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        x: Tensor = super().forward(*args, **kwargs)
        return torch.add(x, self.adapter(x))


def adapted_block(block: nn.Module, adapter: Bottleneck) -> AdaptedBlock:
    """A block of the same class with an adapter behind it, which takes over everything that `block` has."""
    kind = type(f"Adapted{type(block).__name__}", (AdaptedBlock, type(block)), {})
    adapted: AdaptedBlock = object.__new__(kind)
    nn.Module.__init__(adapted)
    adapted.__dict__.update({key: value for key, value in vars(block).items() if not isinstance(value, dict)})
    for name, child in block.named_children():
        adapted.add_module(name, child)
    adapted.adapter = adapter
    return adapted


def _sum_of_parameters(module: nn.Module) -> Tensor:
    """Times 0 it gives every parameter a gradient of 0: the optimizer and data parallelism need one in each step."""
    return torch.stack([parameter.sum() for parameter in module.parameters()]).sum()
