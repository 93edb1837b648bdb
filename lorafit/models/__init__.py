"""Base models: loading them, knowing their parts, telling one from another."""

from lorafit.models.activations import fuse_activations
from lorafit.models.added_rows import AddedRows, add_tokens, planned_tokens, tables_with_rows
from lorafit.models.at_hand import missing_files
from lorafit.models.families import (
    ALL_LINEAR,
    FAMILIES,
    LOGICAL_TARGETS,
    Family,
    Head,
    Place,
    any_number,
    family_of,
    is_proven,
)
from lorafit.models.identity import BaseIdentity, base_identity, config_hash, tokenizer_hash, weights_hash
from lorafit.models.learnable import unreached_layers
from lorafit.models.load import (
    base_folder,
    load_base,
    load_config,
    load_tokenizer,
    reads_last_token,
    set_pad_token,
    tie_note,
)
from lorafit.models.model import Model, TrainedSet, accepted, special_tokens
from lorafit.models.packing import PackedRow, take_packed_rows
from lorafit.models.skeleton import skeleton
from lorafit.models.stored import MappedFile, Stored, stored_tensors, weight_files
from lorafit.models.trial import Reading, way_to_read

__all__ = [
    "ALL_LINEAR",
    "FAMILIES",
    "LOGICAL_TARGETS",
    "AddedRows",
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
    "add_tokens",
    "any_number",
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
    "planned_tokens",
    "reads_last_token",
    "set_pad_token",
    "skeleton",
    "special_tokens",
    "stored_tensors",
    "tables_with_rows",
    "take_packed_rows",
    "tie_note",
    "tokenizer_hash",
    "unreached_layers",
    "way_to_read",
    "weight_files",
    "weights_hash",
]
