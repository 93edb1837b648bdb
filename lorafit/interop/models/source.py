"""Adapter + base, before a weight of the base is read: which of its tensors change, and how."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lorafit.adapters import Adapter
from lorafit.adapters.restore import check_tensors, method_of, model_config, task_of
from lorafit.errors import LorafitError
from lorafit.methods import Change, WithRows
from lorafit.metrics import Kind
from lorafit.models import (
    Model,
    Stored,
    base_folder,
    outline,
    stored_tensors,
    tables_with_rows,
    weight_files,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class MergeSource:
    """What there is to merge; no weight is read yet.

    `notes`: what to know about the base.
    `names`: name of a tensor in its file -> its name in the model. `aliases`: every name of a parameter of the base ->
    all of its names; a tied parameter has several. `tied`: the same with the method attached, which may untie some.
    """

    adapter: Adapter
    folder: Path
    shape: Model
    changes: dict[str, Change]
    stored: list[Stored]
    names: dict[str, str]
    aliases: dict[str, tuple[str, ...]]
    tied: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()
    is_moved: bool = False  # whether the base's weights are others than those trained on

    @staticmethod
    def of(adapter: Adapter, base: str, revision: str | None, *, as_stored: bool = False) -> MergeSource:
        """By the base's files alone where they tell all; else transformers builds the net and names its tensors.

        Of a base that was quantised, the weights are those which the adapter was trained on, in memory; with
        `as_stored`, those in the files.
        Raises NotMergeableError for a method that changes more than weights, AdapterError for a misfit.
        """
        folder = base_folder(base, revision)
        stored, output = list(stored_tensors(weight_files(folder))), task_of(adapter).output
        is_quantized = adapter.card.base.quantize is not None
        by_files = not task_of(adapter).tokens and not is_quantized
        source = _outlined(adapter, folder, stored, output) if by_files else None
        if source is not None:
            return source

        from lorafit.models import skeleton, tie_note

        config = model_config(adapter, base, revision)
        bare = skeleton(copy.deepcopy(config), output)
        source = MergeSource._with(adapter, folder, stored, skeleton(config, output), translated=True)
        if note := tie_note(base, revision):
            source = replace(source, notes=(note,))
        if not source.has_all:
            stored = _as_loaded(config, base, revision, output, stored)
            source = replace(source, stored=stored, names={tensor.name: tensor.name for tensor in stored})
        if is_quantized:
            return replace(source, is_moved=True) if as_stored else _quantized(source, bare)
        return source

    @staticmethod
    def _with(
        adapter: Adapter, folder: Path, stored: list[Stored], shape: Model, *, translated: bool
    ) -> MergeSource:
        aliases = _aliases(shape)
        method = method_of(adapter)
        method.attach_finished(shape)
        check_tensors(adapter, shape)
        changes = _with_rows(method.changed_weights(shape, adapter.tensors), shape, adapter.tensors)
        names = stored_names([t.name for t in stored], shape, set(aliases), translated=translated)
        return MergeSource(adapter, folder, shape, changes, stored, names, aliases, _aliases(shape))

    @property
    def config(self) -> PretrainedConfig:
        """The base's, as it is written or as transformers reads it."""
        return self.shape.net.config

    @property
    def has_all(self) -> bool:
        """Whether every weight that is added to is there."""
        added = (name for name, change in self.changes.items() if change.replacement is None)
        return all(self.source_of(name) is not None for name in added)

    @cached_property
    def by_name(self) -> dict[str, Stored]:
        """The base's tensors by their names in the model."""
        return {self.names[tensor.name]: tensor for tensor in self.stored}

    def source_of(self, name: str) -> Stored | None:
        """Where the base's value of a parameter lies, under any of its names."""
        return next((self.by_name[n] for n in self.all_names(name) if n in self.by_name), None)

    def all_names(self, name: str) -> tuple[str, ...]:
        """Every name that the parameter of that name has in the base."""
        return self.aliases.get(name, (name,))

    def names_still(self, name: str) -> tuple[str, ...]:
        """Those of them that it keeps with the method attached."""
        return self.tied.get(name, (name,))

    def change_of(self, name: str) -> Change | None:
        """What becomes of a parameter: the replacement that any of its names has, else the change of this very name."""
        changes = [self.changes[n] for n in self.names_still(name) if n in self.changes]
        whole = (change for change in changes if change.replacement is not None)
        return next(whole, self.changes.get(name))

    def breaks_tie(self, name: str) -> bool:
        """Whether a tied parameter falls apart. An adapter belongs to a module, as does what a method trains whole: of
        two that share a weight, merging changes the one and not the other."""
        names = self.all_names(name)
        if any(len(self.names_still(n)) < len(names) for n in names):
            return True
        changes = [self.changes[n] for n in names if n in self.changes]
        owners = {
            self.shape.net.get_submodule(n.rpartition(".")[0]) for n in names
        }  # one may have several names
        return len(owners) > 1 and bool(changes) and not any(change.keeps_tie for change in changes)

    @cached_property
    def untied(self) -> set[str]:
        """Names that must get a value of their own, since what they were tied to changes otherwise."""
        return {alias for name in self.changes if self.breaks_tie(name) for alias in self.all_names(name)}


def _quantized(source: MergeSource, bare: Model) -> MergeSource:
    """With the weights of the `bare` base that were quantised as training saw them."""
    from lorafit import lora
    from lorafit.models import quantized_names, rounded

    modules = {name: bare.net.get_submodule(name.rpartition(".")[0]) for name in quantized_names(bare)}
    stored = [
        tensor
        if (module := modules.get(source.names[tensor.name])) is None
        else replace(tensor, mapped=rounded(tensor.read(), transposed=lora.lies_transposed(module)))
        for tensor in source.stored
    ]
    return replace(source, stored=stored)


def _with_rows(
    changes: Mapping[str, Change], shape: Model, tensors: Mapping[str, Tensor]
) -> dict[str, Change]:
    """The changes, in which the rows of added tokens stand in their tables."""
    names, merged = {id(p): name for name, p in shape.net.named_parameters()}, dict(changes)
    for table, module in tables_with_rows(shape.net):
        merged.pop(f"{table}.rows", None)
        weight, rows = f"{table}.weight", tensors[names[id(module.rows)]]
        merged[weight] = WithRows(changes.get(weight), rows, module.first)
    return merged


def _outlined(adapter: Adapter, folder: Path, stored: list[Stored], output: Kind) -> MergeSource | None:
    """None where the files of the base do not tell all."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        shape = outline(config, stored, adapter.tensors, output)
        if shape is None:
            return None
        source = MergeSource._with(adapter, folder, stored, shape, translated=False)
    except (LorafitError, OSError, ValueError, AttributeError, TypeError):
        return None  # something does not fit: transformers decides, and says what
    return source if source.has_all else None


def _as_loaded(
    config: PretrainedConfig, base: str, revision: str | None, output: Kind, stored: Sequence[Stored]
) -> list[Stored]:
    """The base's tensors as transformers makes them of its files, in memory, under their names in the model.

    For files that hold what a model has in several parts as one tensor, or the other way round.
    """
    from lorafit.models import load_base

    dtypes = {tensor.dtype for tensor in stored if tensor.dtype.is_floating_point}
    dtype, file = (
        dtypes.pop() if len(dtypes) == 1 else torch.float32,
        stored[0].file.with_name("model.safetensors"),
    )
    state = load_base(copy.deepcopy(config), base, revision, output).net.state_dict()
    tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in state.items()}
    return [Stored(name, t.dtype, tuple(t.shape), file, mapped=t) for name, t in tensors.items()]


def stored_names(
    names: list[str], shape: Model, known: set[str], *, translated: bool = True
) -> dict[str, str]:
    """File name of a tensor -> its name in the model: checkpoints of bare backbones lack the prefix, and those of some
    architectures have names of their own, which transformers translates (`translated`).

    What transformers puts together from several tensors, or takes apart, keeps its name.
    """
    prefix = shape.net.base_model_prefix
    plain = {name: next((n for n in (name, f"{prefix}.{name}") if n in known), "") for name in names}
    left = [name for name, found in plain.items() if not found]
    if not left or not translated:
        return {name: found or name for name, found in plain.items()}
    return plain | _translated(left, shape, known)


def _translated(names: list[str], shape: Model, known: set[str]) -> dict[str, str]:
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    net = shape.net
    prefix, transforms = net.base_model_prefix, get_model_conversion_mapping(net)
    renamings = [each for each in transforms if isinstance(each, WeightRenaming)]
    converters = [each for each in transforms if isinstance(each, WeightConverter)]
    held = {
        **dict(net.named_parameters(remove_duplicate=False)),
        **dict(net.named_buffers(remove_duplicate=False)),
    }

    def in_model(name: str) -> str:
        renamed, converted_by = rename_source_key(name, renamings, converters, prefix, held)
        return renamed if converted_by is None and renamed in known else name

    return {name: in_model(name) for name in names}


def _aliases(model: Model) -> dict[str, tuple[str, ...]]:
    return {name: tuple(group) for group in parameter_names(model).values() for name in group}


def parameter_names(model: Model) -> dict[int, list[str]]:
    """id() of each parameter -> all of its names; a tied one has several."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.net.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return names
