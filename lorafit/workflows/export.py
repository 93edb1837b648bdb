"""Adapter folder -> another program's adapter format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lorafit.adapters import check_base, read_adapter
from lorafit.errors import RecipeError, did_you_mean
from lorafit.files import new_folder
from lorafit.interop import EXPORTS
from lorafit.workflows.evaluate import BaseChoice
from lorafit.workflows.merge import check_new


@dataclass(frozen=True)
class ExportResult:
    """The new folder and its format."""

    folder: Path
    format: str


def export(folder: Path, output: Path, format_name: str, base: BaseChoice) -> ExportResult:
    """Write the adapter to the new folder `output` in a foreign format.

    Raises RecipeError for an unknown format or an output that is there, AdapterError for the wrong base.
    """
    if format_name not in EXPORTS:
        hint = did_you_mean(format_name, EXPORTS)
        raise RecipeError(f"--format {format_name}: unknown; one of {', '.join(EXPORTS)}{hint}")
    adapter = read_adapter(folder)
    check_new(output)
    where, revision = (base.base, None) if base.base else (adapter.card.base.id, adapter.card.base.revision)
    check_base(adapter, base=base.base, force=base.force)
    with new_folder(output) as temporary:
        EXPORTS[format_name](adapter, where, revision, temporary)
    return ExportResult(output, format_name)
