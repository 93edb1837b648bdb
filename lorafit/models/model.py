"""What the rest of the program holds in its hands: a net, its tokenizer and the table of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorafit.metrics import Kind
from lorafit.models.families import Family

TrainedSet = Mapping[str, nn.Parameter]
"""What trains, by parameter name."""


@dataclass(frozen=True)
class Model:
    """A base model with whatever a method has attached to it."""

    net: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None  # None where only the shape matters
    family: Family
    output: Kind

    def head_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Everything outside the encoder: what the paper trains along with any method on GLUE (paper's run_glue.py)."""
        if self.output == "text":
            return
        for name, parameter in self.net.named_parameters():
            if self.family.is_head(name):
                yield name, parameter

    def apply_head(self, hidden: Tensor) -> Tensor:
        """The encoder's output [n, length, d], of which the head reads the first token -> [n, outputs]."""
        for name in self.family.head:
            hidden = self.net.get_submodule(name)(hidden)
        return hidden

    def without_gradient(self) -> list[str]:
        """Parameters that cannot change the output: a bias on every key adds the same to all scores of a query."""
        key = self.family.places.get("key")
        if key is None or key.num_slices > 1:
            return []
        return [n for n, _ in self.net.named_parameters() if n.endswith(f"{key.module}.bias")]

    def require_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of a model that was loaded, not only shaped."""
        if self.tokenizer is None:
            raise ValueError("a model's shape has no tokenizer")
        return self.tokenizer

    def trained(self) -> dict[str, nn.Parameter]:
        """The trainable set by parameter name: what trains is what is saved is what is loaded."""
        return {name: p for name, p in self.net.named_parameters() if p.requires_grad}

    @property
    def vocab_size(self) -> int:
        """Rows of the token table."""
        table = self.net.get_input_embeddings()
        assert isinstance(table, nn.Embedding)
        return table.num_embeddings

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device
