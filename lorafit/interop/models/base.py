"""What a writer of merged models is, and what it proves of what it wrote."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from lorafit.interop.models.source import MergeSource


Proof = Literal["weights", "forward"]
"""What is proven: what was written, or what it answers too."""

Onto = Literal["quantized", "original"]
"""The weights of a quantised base: those that training saw, or those in its files."""


class ModelWriter(ABC):
    """Writes base + adapter as one model.

    `help` is a few words on what it writes, `dtypes` are the number formats that it can write.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    dtypes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def write(
        self, source: MergeSource, target: Path, *, dtype: str | None, max_shard_bytes: int | None
    ) -> list[Path]:
        """Write the merged model into `target`, an empty folder; returns the files that hold its weights.

        Arithmetic in float32 and one rounding at the end. `dtype` None keeps each tensor's own; `max_shard_bytes` None
        keeps the base's division into files. Raises LorafitError, before anything is written, where the disk is too
        full.
        """

    @abstractmethod
    def prove_weights(self, source: MergeSource, target: Path, *, dtype: str | None) -> WeightsProof:
        """Open what was written again, and hold every tensor against what should be there, in float64.

        Raises NotAppliedError where it equals the base, AdapterError where something else stands there.
        """

    @abstractmethod
    def prove_answers(self, source: MergeSource, target: Path) -> AnswersProof:
        """Hold the answers of what was written against those of base + adapter.

        Raises AdapterError where it computes something else.
        """


@dataclass(frozen=True)
class LayerProof:
    """Of one changed weight: ‖ΔW‖, ‖W‖, the values that changed, and the share of ΔW that survived rounding.

    ΔW is what the change adds to the base's weight W, and W' what was written. `survived` = <W' - W, ΔW> / ‖ΔW‖²: 1
    where W' is W + ΔW, 0 where rounding lost all of it; None where the weight was replaced whole, and where ΔW is
    nothing, or no more than the rounding of terms that cancel in it.
    """

    name: str
    delta_norm: float
    base_norm: float
    num_changed: int
    num_values: int
    survived: float | None


@dataclass(frozen=True)
class WeightsProof:
    """Of every tensor that was written: those that only took over the base's bytes, or its values in another number
    format, equal them; the changed ones are within rounding of the merge in float64.

    `max_error`: the largest distance from it.
    """

    num_tensors: int
    max_error: float
    layers: list[LayerProof]

    @property
    def least_survived(self) -> float:
        """The smallest share among the layers."""
        return min((layer.survived for layer in self.layers if layer.survived is not None), default=1.0)


@dataclass(frozen=True)
class AnswersProof:
    """`max_difference` of the logits from those of `reference` (what was recorded when trained, or base + adapter).

    `moved`: for an adapter of a quantised base, their distance from what was recorded when trained; `effect`: by how
    much the adapter changed the answers then.
    """

    max_difference: float
    allowed: float
    largest_logit: float
    num_inputs: int
    num_logits: int
    reference: str
    moved: float | None = None
    effect: float | None = None
