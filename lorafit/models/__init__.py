"""Base models: loading them, knowing their parts, telling one from another.

A module is imported when something of it is first asked for: what only looks at files needs no transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorafit.models.activations import fuse_activations
    from lorafit.models.added_rows import (
        AddedRows,
        add_tokens,
        names_of_added_rows,
        planned_tokens,
        tables_with_rows,
    )
    from lorafit.models.attention.packing import PackedRow, take_packed_rows
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
    from lorafit.models.files.at_hand import missing_files
    from lorafit.models.files.by_files import outline
    from lorafit.models.files.folder import base_folder
    from lorafit.models.files.stored import MappedFile, Stored, stored_tensors, weight_files
    from lorafit.models.identity import BaseIdentity, base_identity, config_hash, tokenizer_hash, weights_hash
    from lorafit.models.load import (
        draw_head,
        load_base,
        load_config,
        load_tokenizer,
        reads_last_token,
        set_pad_token,
        tie_note,
    )
    from lorafit.models.meta import skeleton
    from lorafit.models.model import Model, TrainedSet, accepted, special_tokens
    from lorafit.models.quantized import check_quantizable, quantize, quantized_names, rounded
    from lorafit.models.trials.learnable import unreached_layers
    from lorafit.models.trials.trial import Reading, way_to_read

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
    "check_quantizable",
    "config_hash",
    "draw_head",
    "family_of",
    "fuse_activations",
    "is_proven",
    "load_base",
    "load_config",
    "load_tokenizer",
    "missing_files",
    "names_of_added_rows",
    "outline",
    "planned_tokens",
    "quantize",
    "quantized_names",
    "reads_last_token",
    "rounded",
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

_NAMES = {
    "activations": "fuse_activations",
    "added_rows": "AddedRows add_tokens names_of_added_rows planned_tokens tables_with_rows",
    "files.at_hand": "missing_files",
    "families": "ALL_LINEAR FAMILIES LOGICAL_TARGETS Family Head Place any_number family_of is_proven",
    "files.folder": "base_folder",
    "identity": "BaseIdentity base_identity config_hash tokenizer_hash weights_hash",
    "trials.learnable": "unreached_layers",
    "load": "draw_head load_base load_config load_tokenizer reads_last_token set_pad_token tie_note",
    "meta": "skeleton",
    "model": "Model TrainedSet accepted special_tokens",
    "files.by_files": "outline",
    "attention.packing": "PackedRow take_packed_rows",
    "quantized": "check_quantizable quantize quantized_names rounded",
    "files.stored": "MappedFile Stored stored_tensors weight_files",
    "trials.trial": "Reading way_to_read",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """A name of one of the modules (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"lorafit.models.{_MODULES[name]}")
    value = globals()[name] = getattr(module, name)
    return value
