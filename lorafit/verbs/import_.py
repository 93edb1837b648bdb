"""Another program's adapter -> an adapter folder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafit.adapters import (
    Adapter,
    AdapterCard,
    BaseCard,
    Fingerprint,
    write_adapter,
)
from lorafit.adapters.restore import check_tensors, fingerprint_of
from lorafit.errors import AdapterError, ChangeArgument, DropArgument, NotFoundError, RecipeError, lookup
from lorafit.files import check_new
from lorafit.interop.base_tensors import BaseTensors
from lorafit.interop.convert import convert, output_of
from lorafit.interop.foreign import Foreign
from lorafit.interop.readers import READERS
from lorafit.metrics import Kind
from lorafit.models import (
    BaseIdentity,
    base_folder,
    base_identity,
    family_of,
    load_config,
    skeleton,
    tie_note,
)
from lorafit.run.provenance import provenance
from lorafit.tasks import SECTIONS, TASKS, TEMPLATES, ClassTask, Task, make_data, make_task


@dataclass(frozen=True)
class ImportOptions:
    """What a foreign file may not say: alpha, the task, and which parts of a fused projection it adapts.

    `template`: a name of lorafit's chat templates, for the task chat.
    """

    alpha: float | None = None
    task: str | None = None
    template: str | None = None
    targets: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ImportResult:
    """The new folder, its card, and what to know about it."""

    folder: Path
    card: AdapterCard
    num_tensors: int
    notes: list[str]


def import_adapter(
    file: Path, output: Path, format_name: str, base: str, options: ImportOptions
) -> ImportResult:
    """Read a foreign adapter and write it to the new folder `output`.

    The base's config is enough; with its weights the adapter also gets a fingerprint.
    Raises RecipeError where alpha or the task is missing or wrong, NotFoundError where file or base are missing,
    AdapterError where they do not fit.
    """
    if options.alpha is not None and not 0 < options.alpha < math.inf:
        raise RecipeError(
            f"alpha: must be a finite number greater than 0; got {options.alpha}", ChangeArgument("alpha")
        )
    reader = lookup(READERS, format_name, "adapter format")
    check_new(output)
    config = load_config(base, local_only=True)
    bare = BaseTensors.of(base, skeleton(config, next(iter(family_of(config).heads))))
    foreign = reader.read(file).unwrapped(bare.shape)
    task = _task(foreign, bare, options)
    config = load_config(base, num_labels=task.num_outputs, tokens=task.tokens, local_only=True)
    shape = skeleton(config, task.output)
    converted = convert(foreign, reader, BaseTensors.of(base, shape), options.alpha, options.targets)
    identity = _identity(base)
    card = AdapterCard(
        base=BaseCard(**vars(identity)),
        method=converted.method.options(),
        task=task.options(),
        data=make_data(task.name),
        provenance=provenance().model_copy(update={"imported_from": f"{file.name} ({format_name})"}),
    )
    adapter = Adapter(output, card, converted.tensors, None)
    converted.method.attach_finished(shape)
    check_tensors(adapter, shape)
    fingerprint = _fingerprint(adapter) if identity.weights_hash else None
    card = write_adapter(output, card, converted.tensors, fingerprint)
    notes = [tied] if (tied := tie_note(base)) else []
    if converted.repeated:
        notes.append(
            f"{len(converted.repeated)} tensors belong to the base, equal it, and were left out, such as "
            f"{converted.repeated[0]}"
        )
    if not identity.weights_hash:
        notes.append(f"{base}: its weights are not here, so neither they nor alpha could be checked")
    return ImportResult(output, card, len(converted.tensors), notes)


def _task(foreign: Foreign, base: BaseTensors, options: ImportOptions) -> Task:
    """The task or preset that was named, chat where its template was, or a general one by the shape of the head, whose
    classes have no names."""
    output, num_labels = output_of(foreign, base)
    name = options.task or ("chat" if options.template else None)
    name = name or next(kind for kind, task in TASKS.items() if task.output == output)
    section = lookup(SECTIONS, name, "task")
    nameless = name in TASKS and output == "label" and issubclass(section, ClassTask)
    keys: dict[str, Any] = {"labels": tuple(f"LABEL_{i}" for i in range(num_labels or 0))} if nameless else {}
    if options.template:
        lookup(TEMPLATES, options.template, "chat template")
        if name != "chat":
            raise RecipeError(
                f"template {options.template}: only the task chat has one", DropArgument("template")
            )
        keys["template"] = options.template
    task = make_task(name, **keys)
    of_head: Kind = (
        "label" if task.output == "labels" else task.output
    )  # a head alone does not tell them apart
    if of_head != output or (task.labels and len(task.labels) != num_labels):
        has = f"a head with {num_labels} outputs" if num_labels else "no head"
        raise RecipeError(f"task {name}: does not fit {foreign.path}, which has {has}")
    return task


def _identity(base: str) -> BaseIdentity:
    """What is known of the base on this machine."""
    try:
        return base_identity(base, None, base_folder(base))
    except NotFoundError:
        return BaseIdentity(base, None, None, None)


def _fingerprint(adapter: Adapter) -> Fingerprint:
    """Raises AdapterError where the answers are not finite."""
    fingerprint = fingerprint_of(adapter)
    if not fingerprint.trained.isfinite().all():
        options = adapter.card.method
        raise AdapterError(
            f"{adapter.card.provenance.imported_from}: with it {adapter.card.base.id} answers with values that are not "
            f"finite; its lora_alpha / r comes to {options['alpha']:g} / {options['r']}"
        )
    return fingerprint
