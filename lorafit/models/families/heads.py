"""What leads from the backbone to the outputs of a kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.models.auto.auto_factory import _BaseAutoModelClass

from lorafit.errors import NotFoundError
from lorafit.metrics import Kind


@dataclass(frozen=True)
class Head:
    """What leads from the backbone's hidden states [n, length, d] to the outputs of a kind of task.

    `reads`: the tokens whose hidden states it reads. `modules`: what is applied to them, in order; where there are
    none, only the net's own forward pass knows the way. `output`: the linear layer with a row for every output.
    `trains`: it is drawn anew, and trains with every method.
    """

    reads: Literal["first", "last", "every"]
    modules: tuple[str, ...] = ()
    output: str = ""
    auto_class: type[_BaseAutoModelClass] = AutoModelForSequenceClassification
    trains: bool = True
    of_backbone: tuple[str, ...] = ()  # modules inside the backbone that belong to the head all the same
    kept_by_warm_start: str = ""  # a module that a warm start takes along (paper's _pre_load_hook)
    dropout_key: str = ""  # config key of the dropout before the output

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


TEXT = Head("every", output="lm_head", auto_class=AutoModelForCausalLM, trains=False)
"""The head for words, which belongs to the base."""


def label_heads(head: Head) -> dict[Kind, Head]:
    """Classes and scores come from one head."""
    return {"label": head, "score": head}


def decoder_heads() -> dict[Kind, Head]:
    """Words, or labels from the last token by a bare matrix (transformers' GenericForSequenceClassification)."""
    return {"text": TEXT, **label_heads(Head("last", ("score",), "score"))}
