"""Rows from files, examples as ids and targets, batches in a reproducible order."""

from lorafit.data.batches import SequenceBatch, epoch_order, num_batches, pack, pad, split_evenly
from lorafit.data.encode import EncodedPair, TextFormat, encode_pairs, encode_prompts
from lorafit.data.labelled import (
    EncodedText,
    LabelBatch,
    encode_labelled,
    pack_labelled,
    pad_labelled,
)
from lorafit.data.originals import SPLITS, Split
from lorafit.data.rows import LabelRow, TextRow
from lorafit.data.sources import has_split, split_path

__all__ = [
    "SPLITS",
    "EncodedPair",
    "EncodedText",
    "LabelBatch",
    "LabelRow",
    "SequenceBatch",
    "Split",
    "TextFormat",
    "TextRow",
    "encode_labelled",
    "encode_pairs",
    "encode_prompts",
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
