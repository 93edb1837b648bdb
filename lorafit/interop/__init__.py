"""Foreign formats, one file each. To add one: write its file, and its value into FORMATS."""

from lorafit.interop.adopt import Adopted, adopt, output_of
from lorafit.interop.base import Foreign, Format
from lorafit.interop.hf_merged import MergeSource, write_merged
from lorafit.interop.loralib import Loralib
from lorafit.interop.merge_proof import LayerProof, MergeProof, prove_merge
from lorafit.interop.peft import Peft
from lorafit.interop.thrift import thrifty

FORMATS: dict[str, Format] = {fmt.name: fmt for fmt in (Peft(), Loralib())}

__all__ = [
    "FORMATS",
    "Adopted",
    "Foreign",
    "Format",
    "LayerProof",
    "MergeProof",
    "MergeSource",
    "adopt",
    "output_of",
    "prove_merge",
    "thrifty",
    "write_merged",
]
