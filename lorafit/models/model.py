"""What the rest of the program holds in its hands: a net, its tokenizer and the table of its parts."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lorafit.errors import NotFoundError
from lorafit.metrics import Kind
from lorafit.models.families import Family, Head, token_ids
from lorafit.models.placement import LOADED, Placement

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TrainedSet = Mapping[str, nn.Parameter]
"""What trains, by parameter name."""


@dataclass(frozen=True)
class Model:
    """A base model with whatever a method has attached to it.

    `placement` is where it computes and in which number format: whoever asks it for answers does so within
    `placement.autocast()`, so that training, `eval` and `predict` give the same ones.
    """

    net: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None  # None where only the shape matters
    family: Family
    output: Kind
    notes: tuple[str, ...] = ()  # where its config and its files say different things
    placement: Placement = LOADED
    fresh: tuple[str, ...] = ()  # parameters of a head that its files do not have: they were drawn

    @property
    def head(self) -> Head:
        """What leads to the outputs of its kind."""
        return self.family.heads[self.output]

    def is_head(self, name: str) -> bool:
        """Whether a parameter belongs to a head that trains."""
        return self.family.is_head(name, self.output)

    def head_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Everything outside the encoder: what the paper trains along with any method on GLUE (paper's run_glue.py)."""
        for name, parameter in self.net.named_parameters():
            if self.is_head(name):
                yield name, parameter

    def head_outputs(
        self,
        input_ids: Tensor,
        lengths: Sequence[int],
        counts: Sequence[int] = (),
        **inputs: Tensor | None,
    ) -> Tensor:
        """The head's outputs for n texts, [n, outputs].

        The texts lie end to end [1, T], with `position_ids` that begin anew for each (the net must
        `take_packed_rows`), or one below the other [n, longest], with an `attention_mask` that leaves out the padding
        on the right; without it each is read on its own. `counts`: how many belong to each member, where several share
        the row. Raises NotFoundError for a text without a token.
        """
        given = {name: tensor for name, tensor in inputs.items() if tensor is not None}
        if given.keys() & {"position_ids", "attention_mask"}:
            return self._head_outputs(input_ids, lengths, given, counts)
        texts = [(slice(row, row + 1), slice(length)) for row, length in enumerate(lengths)]
        alone = [
            self._head_outputs(
                input_ids[text], lengths[text[0]], {name: x[text] for name, x in given.items()}
            )
            for text in texts
        ]
        return torch.cat(alone)

    def _head_outputs(
        self,
        input_ids: Tensor,
        lengths: Sequence[int],
        given: dict[str, Tensor],
        counts: Sequence[int] = (),
    ) -> Tensor:
        pad_id: int | None = getattr(self.family.text_config(self.net.config), "pad_token_id", None)
        if not self.head.way(self.net.config):
            mask = given.get("attention_mask")
            if mask is not None and pad_id is not None:
                input_ids = input_ids.masked_fill(mask == 0, pad_id)
            outputs: Tensor = self.net(input_ids=input_ids, **given).logits
            return outputs
        places = self.head.places(input_ids, lengths, pad_id)
        hidden = self._hidden_states(input_ids, lengths, given, counts)
        return self.apply_head(hidden.flatten(0, 1).index_select(0, places)[:, None])

    def apply_head(self, hidden: Tensor) -> Tensor:
        """What the backbone gave for the token that the head reads [n, 1, d] -> [n, outputs]."""
        return self.head.apply(self.net, hidden)

    def _hidden_states(
        self, input_ids: Tensor, lengths: Sequence[int], inputs: dict[str, Tensor], counts: Sequence[int]
    ) -> Tensor:
        backbone = self.net.base_model
        options = accepted(backbone, use_cache=False)
        if "position_ids" in inputs:
            from lorafit.models.attention.packing import PackedRow

            options["packed_row"] = PackedRow.of(lengths, input_ids.device, counts)
        hidden: Tensor = backbone(input_ids=input_ids, **inputs, **options).last_hidden_state
        return hidden

    def without_gradient(self) -> list[str]:
        """Parameters that cannot change the output: a bias on every key adds the same to all scores of a query."""
        if not self.family.idle_key_bias:
            return []
        end = f"{self.family.places['key'].module}.bias"
        return [name for name, _ in self.net.named_parameters() if name.endswith(end)]

    def require_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of a model that was loaded, not only shaped."""
        if self.tokenizer is None:
            raise ValueError("a model's shape has no tokenizer")
        return self.tokenizer

    def end_tokens(self, none_is_fine: bool = False) -> tuple[int, ...]:
        """The tokens that end a text: the tokenizer's, then those of the base's generation_config.json or config.json.

        What stands in a config alone may be the default of its class: it counts where the tokenizer knows it as
        special. Raises NotFoundError where nothing ends a text, unless `none_is_fine`.
        """
        tokenizer, generation = self.require_tokenizer(), self.net.generation_config
        sure = special_tokens(tokenizer)
        if generation is not None and not generation._from_model_config:
            sure.update(token_ids(generation.eos_token_id))
        said = self.family.stop_tokens(self.net.config, generation)
        ids = [*token_ids(tokenizer.eos_token_id), *(token for token in said if token in sure)]
        if not ids and not none_is_fine:
            raise NotFoundError(
                f"{tokenizer.name_or_path}: neither its tokenizer nor its configs say which token ends a text"
            )
        return tuple(dict.fromkeys(ids))

    def trained(self) -> dict[str, nn.Parameter]:
        """The trainable set by parameter name: what trains is what is saved is what is loaded."""
        return {name: p for name, p in self.net.named_parameters() if p.requires_grad}

    @property
    def vocab_size(self) -> int:
        """Rows of the token table."""
        return self.net.get_input_embeddings().get_parameter("weight").shape[0]

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The ids of the tokens that stand for no words."""
    added = {token for token, content in tokenizer.added_tokens_decoder.items() if content.special}
    return added | {*tokenizer.all_special_ids}


def accepted(module: nn.Module, **options: object) -> dict[str, object]:
    """Those options that a net's forward pass names: not every architecture has them all."""
    names = inspect.signature(module.forward).parameters.keys()
    return {name: value for name, value in options.items() if name in names}
