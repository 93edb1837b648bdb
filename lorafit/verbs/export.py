"""Adapter folder -> another program's adapter format, on disk and, if asked, on the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lorafit.adapters import BaseChoice, check_base, read_adapter, where_base
from lorafit.adapters.model_card import model_card
from lorafit.adapters.restore import check_tensors, method_of, model_config, task_of
from lorafit.errors import AdapterError, lookup
from lorafit.files import absolute_path, check_new, new_folder
from lorafit.interop.hub import Upload, upload_folder
from lorafit.interop.writers import WRITERS
from lorafit.models import skeleton


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

    Raises RecipeError for an unknown format or an output that exists; AdapterError for the wrong base, or with a line
    for everything that the format cannot express; LorafitError when the upload fails (the folder stays).
    """
    writer = lookup(WRITERS, format_name, "adapter format")
    adapter = read_adapter(folder)
    check_new(output)
    check_base(adapter, base=base.base, force=base.force)
    where, revision = where_base(adapter, base.base)
    shape = skeleton(model_config(adapter, where, revision), task_of(adapter).output)
    method_of(adapter).attach_finished(shape)
    check_tensors(adapter, shape)
    on_base = adapter.on(absolute_path(where) or where, revision)  # other programs start elsewhere
    if reasons := writer.refusals(on_base, shape):
        raise AdapterError("\n".join(f"{folder}: {reason}" for reason in reasons))
    with new_folder(output) as temporary:
        writer.write(on_base, shape, temporary)
        paragraphs = [writer.card_paragraph(adapter.card)]
        text = model_card(adapter.card, adapter.tensors, library=writer.name, paragraphs=paragraphs)
        (temporary / "README.md").write_text(text, encoding="utf-8")
    url = upload_folder(output, upload) if upload else None
    return ExportResult(output, writer.name, url)
