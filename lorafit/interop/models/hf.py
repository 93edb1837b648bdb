"""A model folder as transformers' `from_pretrained` loads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.interop.models.base import MergeProof, ModelWriter

if TYPE_CHECKING:
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
        import torch

        from lorafit.interop.models.hf_folder import write_folder

        chosen = getattr(torch, dtype) if dtype else None
        return write_folder(source, target, dtype=chosen, max_shard_bytes=max_shard_bytes)

    @override
    def prove(self, source: MergeSource, target: Path) -> MergeProof:
        """By the folder's own config, without the adapter, as anyone would load it."""
        from lorafit.interop.models.proof import prove_folder

        return prove_folder(source, target)
