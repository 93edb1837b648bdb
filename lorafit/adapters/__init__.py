"""The adapter folder: what training leaves, and all that `eval`, `merge` and `export` need."""

from lorafit.adapters.card import AdapterCard, BaseCard, FileCard, Provenance, TaskCard
from lorafit.adapters.fingerprint import Fingerprint, take_fingerprint
from lorafit.adapters.folder import Adapter, read_adapter, write_adapter
from lorafit.adapters.restore import check_base, finished_tensors, restore, trained_tensors

__all__ = [
    "Adapter",
    "AdapterCard",
    "BaseCard",
    "FileCard",
    "Fingerprint",
    "Provenance",
    "TaskCard",
    "check_base",
    "finished_tensors",
    "read_adapter",
    "restore",
    "take_fingerprint",
    "trained_tensors",
    "write_adapter",
]
