"""Embeddings: an update of rank r for the table, of which a lookup computes the rows it needs."""

from __future__ import annotations

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorafit.lora.inits import EMBEDDING_INITS
from lorafit.lora.layer import LoRALayer


class Embedding(LoRALayer, nn.Embedding):
    """nn.Embedding with an update of rank r.  lora_A [r, num_embeddings], lora_B [embedding_dim, r].

    A token is a one-hot input, so dropout keeps or drops its whole update; loralib's constructor has none.
    `max_norm`, `sparse` and `scale_grad_by_freq` concern the base table alone; the padding row has no update.
    """

    base_type = nn.Embedding
    inits = EMBEDDING_INITS

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        r: int = 0,
        lora_alpha: float = 1,
        merge_weights: bool = True,
        **kwargs: Any,
    ) -> None:
        nn.Embedding.__init__(self, num_embeddings, embedding_dim, **kwargs)
        self._add_adapter(r, lora_alpha, 0.0, merge_weights)
        if kwargs.get("_weight") is None:
            self.reset_parameters()
        else:
            self.reset_lora_parameters()

    @classmethod
    def _around(cls, module: nn.Module) -> Self:
        layer = cls.__new__(cls)
        nn.Embedding.__init__(layer, **_options(module))
        layer.weight = module.get_parameter("weight")
        return layer

    def _plain(self) -> nn.Module:
        table = nn.Embedding(**_options(self))
        table.weight = self.weight
        return table

    def _adapter_shapes(self, r: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return (r, self.num_embeddings), (self.embedding_dim, r)

    def reset_parameters(self) -> None:
        """Draw the base table as nn.Embedding does, and the adapter as loralib does."""
        nn.Embedding.reset_parameters(self)
        self.reset_lora_parameters()

    def delta_weight(self) -> Tensor:
        """ΔW = scaling * (B A)^T  [num_embeddings, embedding_dim], zero in the padding row."""
        return self.delta_rows(0, self.num_embeddings)

    def delta_rows(self, start: int, stop: int) -> Tensor:
        """The rows start:stop of ΔW."""
        dtype = torch.promote_types(self.lora_A.dtype, torch.float32)
        delta = self.scaling * (self.lora_A[:, start:stop].to(dtype).T @ self.lora_B.to(dtype).T)
        if self.padding_idx is not None and start <= self.padding_idx < stop:
            delta[self.padding_idx - start] = 0.0
        return delta

    def _unmerged(self) -> Tensor:
        """The rows as a lookup returns them: renormalised where there is a max_norm."""
        if self.max_norm is None:
            return self.weight
        every = torch.arange(self.num_embeddings, device=self.weight.device)
        return torch.embedding_renorm_(self.weight.detach().clone(), every, self.max_norm, self.norm_type)

    def forward(self, x: Tensor) -> Tensor:
        """x [...] token ids -> [..., embedding_dim]."""
        merged_weight = self._current_merged_weight()
        if merged_weight is not None:
            return F.embedding(x, merged_weight)
        y = nn.Embedding.forward(self, x)
        if not self.has_adapter:
            return y
        h = F.embedding(x, self.lora_A.T)
        if self.padding_idx is not None:
            h = h.masked_fill((x == self.padding_idx).unsqueeze(-1), 0.0)
        if self.training and self.lora_dropout.p > 0:
            h = h * self.lora_dropout(h.new_ones(*x.shape, 1))
        return torch.add(y, F.linear(h, self.lora_B).to(y.dtype), alpha=self.scaling)

    def extra_repr(self) -> str:
        """The line in print(model)."""
        return super().extra_repr() + self._lora_repr()


def _options(table: nn.Module) -> dict[str, Any]:
    """The constructor's arguments for a table like this one, without storage of its own."""
    names = (
        "num_embeddings",
        "embedding_dim",
        "padding_idx",
        "max_norm",
        "norm_type",
        "scale_grad_by_freq",
        "sparse",
    )
    return {name: getattr(table, name) for name in names} | {"device": "meta"}
