"""Decoding: beam search exactly as in the LoRA paper's code, greedy search and sampling, over a KV cache."""

from lorafit.decoding.beam import BeamSearch
from lorafit.decoding.chain import Greedy, Sample
from lorafit.decoding.loop import Strategy, batches_of, generate, generate_all, stream
from lorafit.decoding.sampling import AS_TRAINED, Sampling
from lorafit.decoding.session import beams_can_share_a_row

__all__ = [
    "AS_TRAINED",
    "BeamSearch",
    "Greedy",
    "Sample",
    "Sampling",
    "Strategy",
    "batches_of",
    "beams_can_share_a_row",
    "generate",
    "generate_all",
    "stream",
]
