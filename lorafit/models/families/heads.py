"""What leads from the backbone to the outputs of a kind of task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from lorafit.errors import NotFoundError
from lorafit.metrics import Kind

if TYPE_CHECKING:
    from transformers import PretrainedConfig
    from transformers.models.auto.auto_factory import _BaseAutoModelClass


@dataclass(frozen=True)
class Head:
    """What leads from the backbone's hidden states [n, length, d] to the outputs of a kind of task.

    `reads`: the tokens whose hidden states it reads. `modules`: what is applied to them, in order, and the functions
    behind some of them (`activations`); where there are none, or the config has not the value of `if_config`, only the
    net's own forward pass knows the way. `output`: the linear layer with a row for every output. `trains`: it is drawn
    anew, and trains with every method.
    """

    reads: Literal["first", "last", "every"]
    modules: tuple[str, ...] = ()
    output: str = ""
    net: Literal["AutoModelForCausalLM", "AutoModelForSequenceClassification"] = (
        "AutoModelForSequenceClassification"
    )
    trains: bool = True
    activations: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    if_config: tuple[str, object] | None = None  # config key and value
    of_backbone: tuple[str, ...] = ()  # modules inside the backbone that belong to the head all the same
    kept_by_warm_start: str = ""  # a module that a warm start takes along (paper's _pre_load_hook)
    dropout_key: str = ""  # config key of the dropout before the output

    @property
    def auto_class(self) -> type[_BaseAutoModelClass]:
        """The class of transformers that makes the net."""
        import transformers

        found: type[_BaseAutoModelClass] = getattr(transformers, self.net)
        return found

    def way(self, config: PretrainedConfig) -> tuple[str, ...]:
        """The modules that lead from the hidden states to the outputs; () where only the net itself knows."""
        if self.if_config is not None and getattr(config, self.if_config[0], None) != self.if_config[1]:
            return ()
        return self.modules

    def apply(self, net: nn.Module, hidden: Tensor) -> Tensor:
        """`hidden` [n, 1, d] of the token that it reads -> [n, outputs]."""
        for name in self.modules:
            hidden = net.get_submodule(name)(hidden)
            if name in self.activations:
                hidden = self.activations[name](hidden)
        return hidden.flatten(1)

    def places(self, input_ids: Tensor, lengths: Sequence[int], pad_id: int | None) -> Tensor:
        """Where in the flattened `input_ids` the one token lies that is read of each example, [n].

        The examples lie end to end [1, T], or one below the other with padding on the right [n, longest]. The last
        token is the last that is not `pad_id`, as in transformers.
        Raises NotFoundError for an example without a token.
        """
        if min(lengths) < 1:
            raise NotFoundError("a text without a single token has nothing that could be classified")
        sizes = torch.tensor(lengths, device=input_ids.device)
        rows, width = input_ids.shape
        is_padded = rows == len(lengths)
        starts = torch.arange(rows, device=sizes.device) * width if is_padded else sizes.cumsum(0) - sizes
        if self.reads == "first":
            return starts
        ends = starts + sizes - 1
        if pad_id is None:
            return ends
        every = torch.arange(input_ids.numel(), device=sizes.device)
        last_real = torch.where(input_ids.flatten() != pad_id, every, -1).cummax(0).values
        return torch.maximum(last_real[ends], starts)


TEXT = Head("every", output="lm_head", net="AutoModelForCausalLM", trains=False)
"""The head for words, which belongs to the base."""


def label_heads(head: Head) -> dict[Kind, Head]:
    """Classes, one of them or several, and scores come from one head."""
    return {"label": head, "labels": head, "score": head}


def decoder_heads() -> dict[Kind, Head]:
    """Words, or labels from the last token by a bare matrix (transformers' GenericForSequenceClassification)."""
    return {"text": TEXT, **label_heads(Head("last", ("score",), "score"))}
