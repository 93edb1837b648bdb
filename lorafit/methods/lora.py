"""LoRA (Hu et al. 2021)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, PositiveFloat, Tag, model_validator
from typing_extensions import override

from lorafit.errors import RecipeError, SetKey, did_you_mean
from lorafit.methods.base import LeftOutAtDefault, Method, train_only
from lorafit.methods.by_module import DEFAULT, by_module
from lorafit.methods.change import Added, Change, Rescaled, replaced
from lorafit.recipe.bounds import AtMost, Width
from lorafit.recipe.sections import Probability

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lorafit import lora
    from lorafit.models import Model, TrainedSet

_Several = Annotated[tuple[str, ...], Field(min_length=1)]
_one_or_several = BeforeValidator(
    lambda value: (value,) if isinstance(value, str) else value, json_schema_input_type=str | _Several
)
_Patterns = Annotated[_Several, _one_or_several]
_Alpha = Annotated[PositiveFloat, AtMost(1e6, "the update is multiplied by it")]
_one_or_table = Discriminator(lambda value: "table" if isinstance(value, dict) else "one")
_Ranks = Annotated[Annotated[Width, Tag("one")] | Annotated[dict[str, Width], Tag("table")], _one_or_table]
_Alphas = Annotated[Annotated[_Alpha, Tag("one")] | Annotated[dict[str, _Alpha], Tag("table")], _one_or_table]


class LoRA(Method):
    """h = W x + (alpha / r) B A x, with A [r, in] and B [out, r] trained and W frozen (Hu et al. 2021, eq. 3)."""

    name: ClassVar[str] = "lora"
    low_rank: ClassVar[bool] = True

    r: _Ranks = 8
    """The rank: rows of A and columns of B. Or ranks by patterns of module names, such as
    { "layers.*.mlp.*" = 4, default = 16 }; each must match, and no two the same module."""
    alpha: _Alphas = 16.0
    """Scale of the update: B A is multiplied by alpha / r. Or scales by patterns, as for `r`."""
    scaling: Annotated[Literal["lora", "rslora"], LeftOutAtDefault()] = "lora"
    """What B A is multiplied by. lora: alpha / r; rslora: alpha / sqrt(r), which does not fade as r grows
    (Kalajdzievski 2023)."""
    dropout: Probability = 0.0
    """Dropout on the input of A, as a probability."""
    targets: _Patterns = ("query", "value")
    """Which matrices get an adapter: query, key, value, output, up, down, all-linear, or patterns of module names such
    as "attn.c_*"; "h.3.query" is a slice in one block. Each must match, and what it leaves out of what it says is
    said."""
    dora: Annotated[bool, LeftOutAtDefault()] = False
    """DoRA (Liu et al. 2024): the norm of every output's weights is learned apart from their direction. Of linear
    layers only."""
    exclude: Annotated[_Patterns | None, LeftOutAtDefault()] = None
    """Which of them get none, in the same words, such as "h.0.*". Each must match one."""
    also_train: _Patterns | None = None
    """What trains whole beside the adapters: patterns of names of modules or parameters, such as "lm_head", "ln_f" or
    "*.bias". Each must match. A module that shares its weight with another, as a tied lm_head does, gets its own."""
    init: Literal["loralib", "paper-gpt2", "gaussian", "pissa", "olora"] = "loralib"
    """Initial values. loralib: A kaiming-uniform, B zero; gaussian: A from N(0, 0.02), B zero; paper-gpt2: A and B from
    N(0, 0.02), as the archived code of the paper's GPT-2 runs does, so that training does not start at the base. pissa
    (Meng et al. 2024) and olora (Büyükakyüz 2024) take A and B out of the base's own matrices, by their singular values
    or their QR decomposition; the adapter is saved with twice the rank, as one of the base as it was."""
    init_from: str | None = None
    """An adapter folder whose LoRA tensors are the start; the head stays fresh."""

    @model_validator(mode="after")
    def _starts_once(self) -> Self:
        if self.changes_base and self.init_from is not None:
            raise ValueError(f"'init_from' and 'init' = {self.init!r} exclude each other; keep one")
        if self.changes_base and self.dora:
            raise ValueError(
                f"'dora' is about the norms of the weights that 'init' = {self.init!r} takes apart; keep one"
            )
        return self

    @property
    @override
    def changes_base(self) -> bool:
        """Whether the start is a part of the base's weights, so that training goes on from what is left of them."""
        return self.init in ("pissa", "olora")

    @property
    def finished(self) -> LoRA:
        """LoRA as it is saved: an adapter of the base itself. What took its start out of the base has twice the rank
        then, at the same scale."""
        if not self.changes_base:
            return self
        louder = 2.0 if self.scaling == "lora" else math.sqrt(2.0)
        r = self.r if isinstance(self.r, dict) else {DEFAULT: self.r}
        alpha = self.alpha if isinstance(self.alpha, dict) else {DEFAULT: self.alpha}
        twice = {key: 2 * value for key, value in r.items()}
        louder_alpha = {key: louder * value for key, value in alpha.items()}
        return self.model_copy(update={"init": "loralib", "r": twice, "alpha": louder_alpha})

    @property
    @override
    def warm_start_source(self) -> str | None:
        return self.init_from

    @override
    def warm_start_conflict(self, theirs: Method) -> str | None:
        """Rank and scale must be equal; the targets are, if the tensors are. Dropout and the rest may differ."""
        if theirs.name != self.name:
            return f"was trained with {theirs.name}, and only LoRA can start from another adapter"
        if self.changes_base:
            return f"cannot be the start: with init = {self.init!r} that is a part of the base"
        here, there = self.model_dump(), theirs.model_dump()
        for key in ("r", "alpha", "scaling", "dora"):
            if here[key] != there[key]:
                ours, other = (f"{v:g}" if isinstance(v, float) else str(v) for v in (here[key], there[key]))
                return f"has {key} = {other}, and this recipe {ours}; they must be equal"
        return None

    @override
    def shortfalls(self, model: Model) -> list[str]:
        """What the targets leave out."""
        from lorafit.models import unreached_layers

        unreached = unreached_layers(model.family, model.net.config, model.output)
        return model.family.shortfalls(model.net, self.targets, unreached)

    @override
    def attach(self, model: Model, generator: torch.Generator | None = None) -> TrainedSet:
        """Swap every targeted module for its LoRA layer; the base weights stay where they are, frozen but for those
        of `also_train`."""
        from lorafit import lora

        lora.attach(
            model.net,
            self._sites(model),
            dropout=self.dropout,
            init=self.init,
            generator=generator,
            scaling=self.scaling,
        )
        whole = self._whole(model)
        lora.untie(model.net, whole)
        return train_only(model, {*lora.adapter_parameters(model.net), *whole})

    @override
    def saved_tensors(self, model: Model) -> dict[str, Tensor]:
        """Everything that trains; where the start was taken out of the base, as an adapter of the whole base."""
        from lorafit import lora

        tensors: dict[str, Tensor] = dict(model.trained())
        for name, layer in lora.layers_with_start(model.net).items():
            tensors[f"{name}.lora_A"], tensors[f"{name}.lora_B"] = layer.on_whole_weight()
        return tensors

    @override
    def finish(self, model: Model) -> None:
        """Put back what was taken out of the base."""
        from lorafit import lora

        for layer in lora.layers_with_start(model.net).values():
            layer.put_start_back()

    @override
    def attach_finished(self, model: Model) -> None:
        """Nothing is taken out of the base, only to be put back."""
        import torch

        self.finished.attach(model, torch.Generator().manual_seed(0))

    def _sites(self, model: Model) -> list[lora.Site]:
        """What gets an adapter, with its rank and alpha."""
        from lorafit.lora import DoRALinear
        from lorafit.models import ALL_LINEAR, unreached_layers

        unreached: tuple[str, ...] = ()
        if ALL_LINEAR in self.targets:
            unreached = unreached_layers(model.family, model.net.config, model.output)
        sites = model.family.sites(model.net, self.targets, unreached, self.exclude or ())
        names = [site.name for site in sites]
        ranks, alphas = by_module("r", self.r, names), by_module("alpha", self.alpha, names)
        kind = DoRALinear if self.dora else None
        for name in names if self.dora else ():
            if not DoRALinear.adapts(model.net.get_submodule(name)):
                raise RecipeError(
                    f"[method] dora: is for linear layers, and {name} is none; leave it out of targets"
                )
        return [dataclasses.replace(s, r=ranks[s.name], alpha=alphas[s.name], kind=kind) for s in sites]

    def _whole(self, model: Model) -> list[str]:
        """The parameters outside the head that `also_train` means, by each of their names.

        Raises RecipeError for a pattern that matches none, and for a weight that has an adapter.
        """
        from lorafit import lora

        every = {name for name, _ in model.net.named_parameters(remove_duplicate=False)}
        adapted = lora.adapted_layers(model.net)
        found: set[str] = set()
        for pattern in self.also_train or ():
            matching = {name for name in every if _means(pattern, name)} - lora.adapter_parameters(
                model.net
            ).keys()
            if not matching:
                modules = {name.rpartition(".")[0].rpartition(".")[2] for name in every}
                raise RecipeError(
                    f"[method] also_train: {pattern!r} matches no parameter of this {model.family.model_type}"
                    f"{did_you_mean(pattern, modules)}"
                )
            found |= matching
        if both := sorted(name for name in found if name.removesuffix(".weight") in adapted):
            raise RecipeError(
                f"[method] also_train: {both[0]!r} would train whole beside its own adapter; choose one of the two"
            )
        return sorted(name for name in found if not model.is_head(name))

    @override
    def check(self, model: Model) -> None:
        """An update has no greater rank than the matrix that it is added to.

        Among all linear layers there may be small ones, such as the gate of an expert: there the largest counts.
        """
        from lorafit import lora
        from lorafit.models.families import ALL_LINEAR

        layers = lora.adapted_layers(model.net)
        if ALL_LINEAR in self.targets:
            layers = dict([max(layers.items(), key=lambda item: item[1].full_rank)])
        for name, layer in layers.items():
            if layer.r > layer.full_rank:
                raise RecipeError(
                    f"[method] r: {layer.r:,} is more than an update of {name} can have; its full rank is "
                    f"{layer.full_rank:,}",
                    SetKey("method.r", note="lower"),
                )

    @override
    def changed_weights(self, model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """W + (alpha / r) B A in every adapted module, with DoRA rescaled; the head, and what else trained whole, is
        replaced."""
        from lorafit import lora

        factors = lora.adapter_parameters(model.net)
        layers = lora.filled_layers(model.net, tensors)
        added: dict[str, Change] = {
            f"{name}.weight": Rescaled(layer) if isinstance(layer, lora.DoRALinear) else Added(layer)
            for name, layer in layers.items()
        }
        return {**replaced({n: t for n, t in tensors.items() if n not in factors}), **added}


def _means(pattern: str, name: str) -> bool:
    """Whether a pattern means the parameter of that name, or a module that it lies in."""
    from lorafit import lora

    parts = name.split(".")
    return any(lora.matches(".".join(parts[:length]), pattern) for length in range(1, len(parts) + 1))
