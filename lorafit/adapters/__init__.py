"""The adapter folder: what training leaves, and all that `eval`, `merge` and `export` need."""

from lorafit.adapters.base_choice import BaseChoice
from lorafit.adapters.card import AdapterCard, ArithmeticCard, BaseCard, FileCard, Provenance
from lorafit.adapters.check import Agreement, check_answers
from lorafit.adapters.fingerprint import Fingerprint, take_fingerprint
from lorafit.adapters.folder import Adapter, read_adapter, record_scores, write_adapter
from lorafit.adapters.restore import (
    bare_base,
    check_base,
    finished_tensors,
    put_beside,
    restore,
    task_of,
    trained_tensors,
    where_base,
)

__all__ = [
    "Adapter",
    "AdapterCard",
    "Agreement",
    "ArithmeticCard",
    "BaseCard",
    "BaseChoice",
    "FileCard",
    "Fingerprint",
    "Provenance",
    "bare_base",
    "check_answers",
    "check_base",
    "finished_tensors",
    "put_beside",
    "read_adapter",
    "record_scores",
    "restore",
    "take_fingerprint",
    "task_of",
    "trained_tensors",
    "where_base",
    "write_adapter",
]
