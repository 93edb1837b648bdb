"""Prefix tuning (Li & Liang 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import NonNegativeInt
from typing_extensions import override

from lorafit.errors import RecipeError
from lorafit.methods.base import Method, train_only
from lorafit.recipe.bounds import WIDTH, Length

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lorafit.models import Model, TrainedSet


class Prefix(Method):
    """`length` trained virtual tokens before every text; the base is frozen.

    * layer: keys and values of the virtual tokens in every layer ("prefix-tuning"; `length` x 2 x layers x width
      values). For decoders, and for encoders whose attention goes through transformers' attention interface.
    * embedding: the virtual tokens' embeddings ("embedding-only", the LoRA paper's PreEmbed; `length` x width values).
      In a causal decoder their keys and values depend on nothing else, so the base reads them once and not once a text.

    With `hidden` > 0 both train through a network of one hidden layer that is dropped when training is over: the
    adapter holds what it gives. The text's positions start behind the prefix in GPT-2, as they do in Li & Liang's
    program, where the prefix is a past; encoders and rotary embeddings keep theirs.

    The LoRA paper's own PreLayer, which replaces the activations behind every layer and was run on GPT-3 alone, is
    another method; the prefix rows of its GPT-2 tables are Li & Liang's.
    """

    name: ClassVar[str] = "prefix"

    variant: Literal["layer", "embedding"] = "layer"
    """What a virtual token is made of, as listed above."""
    length: Length = 5
    """Number of virtual tokens."""
    hidden: Annotated[NonNegativeInt, WIDTH] = 512
    """Width of the network that the prefix trains through. 0 trains the prefix itself."""

    @property
    @override
    def num_positions(self) -> int:
        """Those of the virtual tokens."""
        return self.length

    @override
    def attach(self, model: Model, generator: torch.Generator | None = None) -> TrainedSet:
        """Put the prefix before everything the net will read. Raises RecipeError where the architecture has no way."""
        from lorafit.methods import prefix_modules
        from lorafit.models import take_packed_rows

        net, family = model.net, model.family
        self._check_architecture(model)
        attentions = family.attentions(net)
        self._check(model, is_causal=bool(getattr(attentions[0], "is_causal", False)))
        take_packed_rows(net)
        prefix_modules.push_positions(model, self.length)
        num_heads, head_width = prefix_modules.key_shape(attentions[0], family.places["key"])
        is_embedding = self.variant == "embedding"
        of_layers = (len(attentions), 2, self.length, num_heads * head_width)
        shape = (self.length, net.config.hidden_size) if is_embedding else of_layers
        table = prefix_modules.fresh_table(shape, self.hidden, model, generator)
        reader = prefix_modules.PrefixReader(table, num_heads, is_embedding=is_embedding)
        reader.train(net.training)
        reader.serve(net.get_submodule(family.backbone), attentions)
        return train_only(model, {f"{_name(model)}.{name}" for name, _ in reader.named_parameters()})

    @override
    def saved_tensors(self, model: Model) -> dict[str, Tensor]:
        """The prefix itself, and the head."""
        from lorafit.methods.prefix_modules import reader_of

        name = _name(model)
        others = {n: p for n, p in model.trained().items() if not n.startswith(f"{name}.")}
        return {**others, f"{name}.table.values": reader_of(model.net).table().detach()}

    @override
    def finish(self, model: Model) -> None:
        """The prefix itself in the place of its reparameterisation."""
        from lorafit.methods.prefix_modules import reader_of

        reader_of(model.net).finish()

    def _check_architecture(self, model: Model) -> None:
        family = model.family
        if not family.pluggable_attention or "key" not in family.places:
            raise RecipeError(
                f"[method] name: a prefix has no way into the attention of this {family.model_type!r}; "
                f"choose another method"
            )
        if family.has_window(model.net.config):
            raise RecipeError(
                f"[method] name: some layers of this {family.model_type!r} attend to a window of tokens, which leaves "
                f"a prefix behind; choose another method"
            )

    def _check(self, model: Model, *, is_causal: bool) -> None:
        family = model.family
        if self.variant == "embedding" and not is_causal:
            raise RecipeError(
                f'[method] variant: "embedding" needs a causal decoder, and {family.model_type!r} reads both ways; '
                f'use "layer"'
            )
        family.check_room(model.net.config, self.length)


def _name(model: Model) -> str:
    """Of the module that holds the prefix."""
    return f"{model.family.backbone}.prefix"
