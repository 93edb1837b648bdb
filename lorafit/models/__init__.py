"""Base models: loading them, knowing their parts, telling one from another."""

from lorafit.models.activations import fuse_activations
from lorafit.models.at_hand import missing_files
from lorafit.models.families import FAMILIES, LOGICAL_TARGETS, Family, Head, Place, family_of
from lorafit.models.identity import BaseIdentity, base_identity
from lorafit.models.load import (
    base_folder,
    load_base,
    load_config,
    load_tokenizer,
    reads_last_token,
    set_pad_token,
    skeleton,
)
from lorafit.models.model import Model, TrainedSet, accepted
from lorafit.models.packing import PackedRow, take_packed_rows
from lorafit.models.stored import MappedFile, Stored, stored_tensors, weight_files

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
    "Stored",
    "TrainedSet",
    "accepted",
    "base_folder",
    "base_identity",
    "family_of",
    "fuse_activations",
    "load_base",
    "load_config",
    "load_tokenizer",
    "missing_files",
    "reads_last_token",
    "set_pad_token",
    "skeleton",
    "stored_tensors",
    "take_packed_rows",
    "weight_files",
]
