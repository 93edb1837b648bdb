"""Adapter tuning, in the four forms of the paper's tables."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NoReturn

from pydantic import NonNegativeInt, PositiveFloat, model_validator
from typing_extensions import override

from lorafit.errors import RecipeError
from lorafit.methods.base import Method, train_only
from lorafit.recipe.bounds import LAYERS, AtMost, Width

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lorafit.methods.adapter_modules import Bottleneck
    from lorafit.models import Model, TrainedSet

_ACTIVATIONS = {"houlsby": "swish", "pfeiffer": "relu", "adapterdrop": "relu", "lin": "relu"}


class AdapterTuning(Method):
    """Small bottleneck networks between the frozen parts of the base.

    * houlsby (Houlsby et al. 2019; the LoRA paper's Adapter^H): behind attention and behind the MLP, before the
      residual sum.
    * pfeiffer (Pfeiffer et al. 2021; Adapter^P): behind the MLP of an encoder alone, fed with the LayerNorm's output.
    * adapterdrop (Rücklé et al. 2021; Adapter^D): pfeiffer's, without those of the `drop_layers` lowest layers, and
      with `drop_at_random` without a random number of the lower ones in every training pass (their "robust"
      training). The LoRA paper's own rows have one in every layer: 304,320 and 894,528 parameters at sizes 16 and 48.
    * lin (Lin et al. 2020; Adapter^L): behind every GPT-2 block, with a LayerNorm of its own, which trains.

    The base's LayerNorms stay frozen. Weights are drawn from N(0, init_std), so at step 0 the model is near its base
    and not equal to it (as in the original programs: microsoft/LoRA, adapter.py and `_init_weights`; zlinao/VGLM).
    """

    name: ClassVar[str] = "adapter"

    variant: Literal["houlsby", "pfeiffer", "lin", "adapterdrop"] = "houlsby"
    """Where the adapters are, as listed above."""
    size: Width = 64
    """Values in the bottleneck (r in the paper)."""
    activation: Literal["relu", "swish", "gelu", "tanh"] | None = None
    """Between the two layers of an adapter. Without it: swish for houlsby, else relu."""
    init_std: Annotated[PositiveFloat, AtMost(100.0, "nothing is left of the base beside such weights")] = (
        0.02
    )
    """Standard deviation of the initial weights."""
    drop_layers: Annotated[NonNegativeInt, LAYERS] = 0
    """adapterdrop: how many of the lowest layers have no adapter, in training and afterwards."""
    drop_at_random: bool = False
    """adapterdrop: in every training pass, a random number of further lower layers goes without adapter."""

    @model_validator(mode="after")
    def _dropping_is_adapterdrop(self) -> AdapterTuning:
        if self.variant != "adapterdrop" and (self.drop_layers or self.drop_at_random):
            raise ValueError("'drop_layers' and 'drop_at_random' need variant = \"adapterdrop\"")
        return self

    @override
    def attach(self, model: Model, generator: torch.Generator | None = None) -> TrainedSet:
        """Put the adapters in. Raises RecipeError where the architecture has no place for the variant."""
        from lorafit.lora import replace

        before = {name for name, _ in model.net.named_parameters()}
        for place, module in self._modules(model, generator).items():
            replace(model.net, place, module.train(model.net.training))
        return train_only(model, {name for name, _ in model.net.named_parameters()} - before)

    def always_reached(self, model: Model) -> dict[str, nn.Parameter]:
        """Where adapters are dropped at random, of all of them only the last one."""
        reached = super().always_reached(model)
        if not self.drop_at_random:
            return reached
        blocks, last = model.family.block_prefix(model.net), model.family.num_blocks(model.net) - 1
        return {
            name: parameter
            for name, parameter in reached.items()
            if name.startswith(f"{blocks}.{last}.") or not name.startswith(f"{blocks}.")
        }

    def _modules(self, model: Model, generator: torch.Generator | None) -> dict[str, nn.Module]:
        """Name of a module of the base -> what takes its place."""
        from lorafit.methods.adapter_modules import (
            AdaptedDropout,
            AdaptedOutput,
            RandomDepth,
            adapted_block,
        )

        bottleneck = partial(self._bottleneck, model, generator)
        prefix, num_blocks = model.family.block_prefix(model.net), model.family.num_blocks(model.net)
        at = model.net.get_submodule
        match self.variant:
            case "houlsby":
                ends = model.family.sublayer_ends or self._no_place(model)
                names = [f"{prefix}.{i}.{end}" for i in range(num_blocks) for end in ends]
                return {name: AdaptedDropout(at(name), bottleneck()) for name in names}
            case "lin":
                if not model.family.wrapped_blocks:
                    self._no_place(model)
                eps = model.net.config.layer_norm_epsilon
                names = [f"{prefix}.{i}" for i in range(num_blocks)]
                return {name: adapted_block(at(name), bottleneck(eps)) for name in names}
        if self.drop_layers >= num_blocks:
            raise RecipeError(
                f"[method] drop_layers: {self.drop_layers} leaves no adapter in {num_blocks} layers; lower it"
            )
        output = model.family.post_norm or self._no_place(model)
        depth = RandomDepth(self.drop_layers, num_blocks) if self.drop_at_random else None
        layers = {f"{prefix}.{i}.{output}": i for i in range(self.drop_layers, num_blocks)}
        return {name: AdaptedOutput(at(name), bottleneck(), i, depth) for name, i in layers.items()}

    def _bottleneck(
        self, model: Model, generator: torch.Generator | None, norm_eps: float | None = None
    ) -> Bottleneck:
        from lorafit.methods.adapter_modules import Bottleneck

        with model.device:
            activation = self.activation or _ACTIVATIONS[self.variant]
            adapter = Bottleneck(model.net.config.hidden_size, self.size, activation, norm_eps)
        adapter.reset_parameters(self.init_std, generator)
        return adapter

    def _no_place(self, model: Model) -> NoReturn:
        raise RecipeError(
            f"[method] variant: {self.variant!r} adapters have no place in {model.family.model_type!r}; "
            f"houlsby is for encoders and GPT-2, pfeiffer and adapterdrop for encoders, lin for GPT-2"
        )
