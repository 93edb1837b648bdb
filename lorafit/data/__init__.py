"""Rows from files, examples as ids and targets, batches in a reproducible order."""

from lorafit.data.batches import PackedBatch, epoch_order, num_batches, pack, pad, split_evenly
from lorafit.data.encode import EncodedPair, TextPair, encode_contexts, encode_pairs
from lorafit.data.labelled import (
    EncodedText,
    LabelBatch,
    LabelledText,
    encode_labelled,
    pack_labelled,
    pad_labelled,
)
from lorafit.data.originals import SPLITS, Split
from lorafit.data.sources import has_split, split_path

__all__ = [
    "SPLITS",
    "EncodedPair",
    "EncodedText",
    "LabelBatch",
    "LabelledText",
    "PackedBatch",
    "Split",
    "TextPair",
    "encode_contexts",
    "encode_labelled",
    "encode_pairs",
    "epoch_order",
    "has_split",
    "num_batches",
    "pack",
    "pack_labelled",
    "pad",
    "pad_labelled",
    "split_evenly",
    "split_path",
]
