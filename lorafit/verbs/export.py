"""Adapter folder -> another program's adapter format, on disk and, if asked, on the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lorafit.adapters import BaseChoice, check_base, read_adapter, where_base
from lorafit.adapters.model_card import model_card
from lorafit.adapters.restore import check_tensors, method_of, model_config
from lorafit.errors import RecipeError, did_you_mean
from lorafit.files import new_folder
from lorafit.interop import FORMATS, Format
from lorafit.interop.hub import Upload, upload_folder
from lorafit.models import skeleton
from lorafit.verbs.merge import check_new


@dataclass(frozen=True)
class ExportResult:
    """The new folder, its format, and where it is on the hub."""

    folder: Path
    format: str
    url: str | None = None


def export(
    folder: Path, output: Path, format_name: str, base: BaseChoice, upload: Upload | None = None
) -> ExportResult:
    """Write the adapter to the new folder `output` in a foreign format. The base's config is enough.

    Raises RecipeError for an unknown format or an output that is there, AdapterError for the wrong base or what the
    format cannot express, LorafitError when the upload fails (the folder stays).
    """
    fmt = format_of(format_name)
    adapter = read_adapter(folder)
    check_new(output)
    check_base(adapter, base=base.base, force=base.force)
    where, revision = where_base(adapter, base.base)
    shape = skeleton(model_config(adapter, where, revision), adapter.card.task.output)
    method_of(adapter).attach_finished(shape)
    check_tensors(adapter, shape.trained())
    with new_folder(output) as temporary:
        fmt.write(adapter, shape, where, revision, temporary)
        text = model_card(adapter.card, adapter.tensors, library=format_name)
        (temporary / "README.md").write_text(text, encoding="utf-8")
    url = upload_folder(output, upload) if upload else None
    return ExportResult(output, format_name, url)


def format_of(name: str) -> Format:
    """Raises RecipeError for an unknown one."""
    if name not in FORMATS:
        raise RecipeError(
            f"--format {name}: unknown; one of {', '.join(FORMATS)}{did_you_mean(name, FORMATS)}"
        )
    return FORMATS[name]
