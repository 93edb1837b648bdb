"""Writers of merged models, one file each. To add one: write its file, and its value into MODEL_WRITERS."""

from lorafit.interop.models.base import AnswersProof, LayerProof, ModelWriter, Onto, Proof, WeightsProof
from lorafit.interop.models.hf import HuggingFace

MODEL_WRITERS: dict[str, ModelWriter] = {writer.name: writer for writer in (HuggingFace(),)}

__all__ = ["MODEL_WRITERS", "AnswersProof", "LayerProof", "ModelWriter", "Onto", "Proof", "WeightsProof"]
