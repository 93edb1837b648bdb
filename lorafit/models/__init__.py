"""Base models: loading them, knowing their parts, telling one from another."""

from lorafit.models.activations import fuse_activations
from lorafit.models.at_hand import missing_files
from lorafit.models.families import FAMILIES, LOGICAL_TARGETS, Family, Head, Place, family_of, is_proven
from lorafit.models.identity import BaseIdentity, base_identity, config_hash, tokenizer_hash, weights_hash
from lorafit.models.load import (
    base_folder,
    load_base,
    load_config,
    load_tokenizer,
    needs_pad_token,
    set_pad_token,
    tie_note,
)
from lorafit.models.model import Model, TrainedSet, accepted
from lorafit.models.packing import PackedRow, take_packed_rows
from lorafit.models.skeleton import skeleton
from lorafit.models.stored import MappedFile, Stored, stored_tensors, weight_files
from lorafit.models.trial import Reading, way_to_read

__all__ = [
    "FAMILIES",
    "LOGICAL_TARGETS",
    "BaseIdentity",
    "Family",
    "Head",
    "MappedFile",
    "Model",
    "PackedRow",
    "Place",
    "Reading",
    "Stored",
    "TrainedSet",
    "accepted",
    "base_folder",
    "base_identity",
    "config_hash",
    "family_of",
    "fuse_activations",
    "is_proven",
    "load_base",
    "load_config",
    "load_tokenizer",
    "missing_files",
    "needs_pad_token",
    "set_pad_token",
    "skeleton",
    "stored_tensors",
    "take_packed_rows",
    "tie_note",
    "tokenizer_hash",
    "way_to_read",
    "weight_files",
    "weights_hash",
]
