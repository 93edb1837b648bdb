"""Adapter + base, before a weight of the base is read: which of its tensors change, and how."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transformers import PretrainedConfig

from lorafit.adapters import Adapter
from lorafit.adapters.restore import check_tensors, method_of, model_config, task_of
from lorafit.methods import Change
from lorafit.models import Model, Stored, base_folder, skeleton, stored_tensors, weight_files


@dataclass(frozen=True)
class MergeSource:
    """What there is to merge; no weight is read yet.

    `names`: name of a tensor in its file -> its name in the model. `aliases`: every name of a parameter of the base ->
    all of its names; a tied parameter has several. `tied`: the same with the method attached, which may untie some.
    """

    adapter: Adapter
    folder: Path
    config: PretrainedConfig
    shape: Model
    changes: dict[str, Change]
    stored: list[Stored]
    names: dict[str, str]
    aliases: dict[str, tuple[str, ...]]
    tied: dict[str, tuple[str, ...]]

    @staticmethod
    def of(adapter: Adapter, base: str, revision: str | None) -> MergeSource:
        """Raises NotMergeableError for a method that changes more than weights, AdapterError for a misfit."""
        folder = base_folder(base, revision)
        config = model_config(adapter, base, revision)
        shape = skeleton(config, task_of(adapter).output)
        aliases = _aliases(shape)
        method = method_of(adapter)
        method.attach_finished(shape)
        check_tensors(adapter, shape)
        changes = method.changed_weights(shape, adapter.tensors)
        stored = list(stored_tensors(weight_files(folder)))
        names = stored_names([tensor.name for tensor in stored], shape, set(aliases))
        return MergeSource(adapter, folder, config, shape, changes, stored, names, aliases, _aliases(shape))

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
        return len(names) > 1 and bool(changes) and all(change.replacement is None for change in changes)

    @cached_property
    def untied(self) -> set[str]:
        """Names that must get a value of their own, since what they were tied to changes otherwise."""
        return {alias for name in self.changes if self.breaks_tie(name) for alias in self.all_names(name)}


def stored_names(names: list[str], shape: Model, known: set[str]) -> dict[str, str]:
    """File name of a tensor -> its name in the model: checkpoints of bare backbones lack the prefix."""
    prefix = shape.net.base_model_prefix
    return {
        name: name if name in known or f"{prefix}.{name}" not in known else f"{prefix}.{name}"
        for name in names
    }


def _aliases(model: Model) -> dict[str, tuple[str, ...]]:
    return {name: tuple(group) for group in parameter_names(model).values() for name in group}


def parameter_names(model: Model) -> dict[int, list[str]]:
    """id() of each parameter -> all of its names; a tied one has several."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.net.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return names
