"""Decoding: beam search exactly as in the LoRA paper's code, greedy search and sampling, over a KV cache."""

from lorafit.decoding.beam import BeamSearch
from lorafit.decoding.chain import Greedy, Sample
from lorafit.decoding.loop import Strategy, batches_of, generate, generate_all

__all__ = ["BeamSearch", "Greedy", "Sample", "Strategy", "batches_of", "generate", "generate_all"]
