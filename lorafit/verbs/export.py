"""Adapter folder -> another program's adapter format, on disk and, if asked, on the hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lorafit.adapters import Adapter, BaseChoice, check_base, read_adapter, where_base
from lorafit.adapters.model_card import model_card
from lorafit.adapters.restore import check_tensors, method_of, model_config, task_of
from lorafit.errors import AdapterError, DropArgument, RecipeError, lookup
from lorafit.files import absolute_path, check_new, new_folder
from lorafit.interop.hub import Upload, upload_folder
from lorafit.interop.programs import PROGRAMS, Program
from lorafit.interop.writers import WRITERS
from lorafit.models import Model, skeleton

DEFAULT_FORMAT = next(iter(WRITERS))


@dataclass(frozen=True)
class ExportResult:
    """The new folder, its format, where it is on the hub, what serves it where a program was named, and what to know
    about it."""

    folder: Path
    format: str
    url: str | None = None
    command: str | None = None
    notes: list[str] = field(default_factory=list)


def export(
    folder: Path,
    output: Path,
    format_name: str | None,
    base: BaseChoice,
    upload: Upload | None = None,
    program: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> ExportResult:
    """Write the adapter to the new folder `output` in a foreign format. The base's config is enough.

    `program`: what is to serve it, by name; it has a format of its own. `say` gets a line on how the adapter stands to
    the program's limits before anything is written. Raises RecipeError for an unknown format or program or an output
    that exists; AdapterError for the wrong base, or with a line for everything that the format cannot express, or with
    one for what the program cannot serve; LorafitError when the upload fails (the folder stays).
    """
    server = lookup(PROGRAMS, program, "program") if program is not None else None
    writer = lookup(WRITERS, _format(format_name, server), "adapter format")
    adapter = read_adapter(folder)
    check_new(output)
    check_base(adapter, base=base.base, force=base.force)
    where, revision = where_base(adapter, base.base)
    shape = skeleton(model_config(adapter, where, revision), task_of(adapter).output)
    method_of(adapter).attach_finished(shape)
    check_tensors(adapter, shape)
    on_base = adapter.on(absolute_path(where) or where, revision)  # other programs start elsewhere
    reasons = writer.refusals(on_base, shape)
    if server is not None:
        say(_checked(server, on_base, shape, reasons))
    if reasons:
        raise AdapterError("\n".join(f"{folder}: {reason}" for reason in reasons))
    with new_folder(output) as temporary:
        writer.write(on_base, shape, temporary)
        paragraphs = [writer.card_paragraph(adapter.card)]
        text = model_card(adapter.card, adapter.tensors, library=writer.name, paragraphs=paragraphs)
        (temporary / "README.md").write_text(text, encoding="utf-8")
    url = upload_folder(output, upload) if upload else None
    command = server.command(on_base, shape, output.absolute()) if server is not None else None
    return ExportResult(output, writer.name, url, command, _notes(adapter))


def _notes(adapter: Adapter) -> list[str]:
    """A line on a base that was quantised, of which the formats know nothing."""
    if (quantize := adapter.card.base.quantize) is None:
        return []
    return [
        f"{adapter.folder}: was trained on a base in {quantize}, and answers otherwise on one in 16 bits; a merge onto "
        f"the original weights measures by how much"
    ]


def _format(name: str | None, program: Program | None) -> str:
    """The format that was named, or the program's own. Raises RecipeError where both are named and differ."""
    if program is None:
        return name or DEFAULT_FORMAT
    if name not in (None, program.format):
        raise RecipeError(
            f"format {name}: {program.name} loads the {program.format} format", DropArgument("format")
        )
    return program.format


def _checked(program: Program, adapter: Adapter, shape: Model, reasons: list[str]) -> str:
    """A line on an adapter that the program serves. Raises AdapterError, of one line, where it does not."""
    reasons = [*(reason.removesuffix("; use merge") for reason in reasons), *program.refusals(adapter, shape)]
    if reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise AdapterError(
            f"{adapter.folder}: {program.name} cannot serve it: {reasons[0]}{more}; merge it first"
        )
    return f"{program.name} serves it: {program.summary(adapter, shape)}"
