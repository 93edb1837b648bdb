"""The file that the paper's code, and everything built on loralib, loads."""

from __future__ import annotations

import shlex
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.interop.writers.base import (
    Writer,
    refusals_of_added_rows,
    refusals_unless_low_rank,
    shown_number,
    trained_of_base,
)

if TYPE_CHECKING:
    from lorafit.adapters import Adapter, AdapterCard
    from lorafit.models import Model


class LoralibWriter(Writer):
    """lora_A and lora_B as loralib shapes them, which are lorafit's own shapes. The file holds no alpha."""

    name: ClassVar[str] = "loralib"
    help: ClassVar[str] = "a state dict as `loralib.lora_state_dict` makes it"

    @override
    def refusals(self, adapter: Adapter, shape: Model) -> list[str]:
        """Other methods, and layers that loralib does not have."""
        from lorafit import lora
        from lorafit.interop.loralib_layout import refusal

        found = {name: refusal(layer) for name, layer in lora.adapted_layers(shape.net).items()}
        of_layers = [f"{name}: {reason}; use merge" for name, reason in found.items() if reason]
        whole = [
            f"{name}: trained whole, which the {self.name} format has no place for; use merge"
            for name in trained_of_base(adapter, shape)
        ]
        alphas = {layer.scaling * layer.r for layer in lora.lora_layers(shape.net)}
        several = [f"modules of several alphas, and the {self.name} format has one; use merge"]
        return refusals_unless_low_rank(adapter, shape, self.name) or [
            *(several if len(alphas) > 1 else ()),
            *of_layers,
            *whole,
            *refusals_of_added_rows(shape, self.name),
        ]

    @override
    def write(self, adapter: Adapter, shape: Model, target: Path) -> None:
        """One file, in the layout that the paper's code reads for this architecture."""
        import torch

        from lorafit.interop.loralib_layout import FILE, WRAPPER

        tensors = OrderedDict(adapter.tensors)
        if shape.family.loralib_wrapped:
            wrapped = OrderedDict((f"module.{name}", tensor) for name, tensor in tensors.items())
            torch.save({WRAPPER: wrapped}, target / FILE)
        else:
            torch.save(tensors, target / FILE)

    @override
    def card_paragraph(self, card: AdapterCard) -> str:
        """With alpha, which the file does not hold."""
        alpha, r = shown_number(card.method["alpha"]), card.method["r"]
        return (
            f"The file holds no alpha: it was trained with r = {r} and alpha = {alpha}. With `loralib`, or "
            f"`lorafit.lora` in its place, in a model whose layers have them:\n\n```python\n"
            f'model.load_state_dict(torch.load("pytorch_model_lora.bin", weights_only=True), strict=False)\n```\n\n'
            f"Back into an adapter folder of lorafit:\n\n```sh\n"
            f"lorafit import THIS_FOLDER OUT --format loralib --base {shlex.quote(card.base.id)} --alpha {alpha}\n```"
        )
