"""Rows from files, examples as ids and targets, batches in a reproducible order."""

from lorafit.data.batches import PackedBatch, epoch_order, num_batches, pack, split_evenly
from lorafit.data.encode import EncodedPair, encode_contexts, encode_pairs
from lorafit.data.labelled import (
    EncodedText,
    LabelBatch,
    encode_labelled,
    pack_labelled,
    pad_labelled,
)
from lorafit.data.rows import LabelRow, RawRow, Row, TextRow
from lorafit.recipe import SPLITS, Split

__all__ = [
    "SPLITS",
    "EncodedPair",
    "EncodedText",
    "LabelBatch",
    "LabelRow",
    "PackedBatch",
    "RawRow",
    "Row",
    "Split",
    "TextRow",
    "encode_contexts",
    "encode_labelled",
    "encode_pairs",
    "epoch_order",
    "num_batches",
    "pack",
    "pack_labelled",
    "pad_labelled",
    "split_evenly",
]
