"""A model folder as transformers' `from_pretrained` loads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.interop.models.base import AnswersProof, ModelWriter, WeightsProof

if TYPE_CHECKING:
    import torch

    from lorafit.interop.models.source import MergeSource


class HuggingFace(ModelWriter):
    """Weights in safetensors files, the config, and every other file of the base."""

    name: ClassVar[str] = "transformers"
    help: ClassVar[str] = "a folder that transformers' `from_pretrained` loads"
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "bfloat16", "float16")

    @override
    def write(
        self, source: MergeSource, target: Path, *, dtype: str | None, max_shard_bytes: int | None
    ) -> list[Path]:
        """Streamed: of a model of any size a few megabytes are in memory, and only changed tensors are computed."""
        from lorafit.interop.models.hf_folder import write_folder

        return write_folder(source, target, dtype=_dtype(dtype), max_shard_bytes=max_shard_bytes)

    @override
    def prove_weights(self, source: MergeSource, target: Path, *, dtype: str | None) -> WeightsProof:
        """A few megabytes at a time."""
        from lorafit.interop.models.hf_folder import outgoing
        from lorafit.interop.models.weights_proof import prove_weights

        return prove_weights(source, [tensor for _, tensor in outgoing(source, _dtype(dtype))], target)

    @override
    def prove_answers(self, source: MergeSource, target: Path) -> AnswersProof:
        """By the folder's own config, without the adapter, as anyone would load it."""
        from lorafit.interop.models.answers_proof import prove_answers

        return prove_answers(source, target)


def _dtype(name: str | None) -> torch.dtype | None:
    import torch

    found: torch.dtype | None = getattr(torch, name) if name else None
    return found
