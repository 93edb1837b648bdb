"""PEFT, whose limits are those of its format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.interop.programs.base import Program, shown_ranks
from lorafit.tasks import read_task

if TYPE_CHECKING:
    from lorafit.adapters import Adapter
    from lorafit.models import Model


class Peft(Program):
    """`PeftModel.from_pretrained` around a base."""

    name: ClassVar[str] = "peft"
    help: ClassVar[str] = "in Python"
    format: ClassVar[str] = "peft"

    @override
    def summary(self, adapter: Adapter, shape: Model) -> str:
        """Rank and architecture."""
        del adapter
        return f"{shown_ranks(shape)} on a {shape.family.model_type}"

    @override
    def command(self, adapter: Adapter, shape: Model, folder: Path) -> str:
        """One expression in Python."""
        del shape
        return f'PeftModel.from_pretrained({loaded_base(adapter)}, "{folder}")'


def loaded_base(adapter: Adapter) -> str:
    """The base as transformers loads it, with a head for the adapter's task."""
    num_outputs = read_task(adapter.card.task).num_outputs
    kind = "CausalLM" if num_outputs is None else "SequenceClassification"
    labels = "" if num_outputs is None else f", num_labels={num_outputs}"
    return f'AutoModelFor{kind}.from_pretrained("{adapter.card.base.id}"{labels})'
