"""Tensors of the base that a foreign file holds beside its adapter: each must be what the base has there."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from transformers import PretrainedConfig

from lorafit.errors import AdapterError, Advice, NotFoundError, SetArgument
from lorafit.interop.models.source import parameter_names, stored_names
from lorafit.models import Model, Stored, base_folder, load_base, skeleton, stored_tensors, weight_files


@dataclass(frozen=True)
class BaseTensors:
    """Every tensor that a base has or computes; a weight is read when it is asked for.

    `shape`: the bare base, before anything is attached to it. `stored` is empty where its weights are not here.
    """

    base: str
    shape: Model
    stored: tuple[Stored, ...] = ()

    @staticmethod
    def of(base: str, shape: Model) -> BaseTensors:
        """Those of a folder or hub id."""
        try:
            return BaseTensors(base, shape, tuple(stored_tensors(weight_files(base_folder(base)))))
        except NotFoundError:
            return BaseTensors(base, shape)

    def check(self, where: Path, tensors: Mapping[str, Tensor]) -> None:
        """Each of `tensors`, by its name in the file `where`, must equal the base's, rounded to its own dtype.

        Raises AdapterError by name: for one that the base does not have, for one that differs and by how much, and
        for any weight where the base's are not here.
        """
        faults: dict[str, str] = {}
        for name, tensor in tensors.items():
            if (fault := self._fault(where, name, tensor)) is not None:
                faults[name] = fault
        if faults:
            name, fault = next(iter(faults.items()))
            raise AdapterError(
                f"{where}: {name!r} {fault}; {len(faults)} of its {len(tensors)} tensors of the base are not those of "
                f"{self.base}: it was merged into its base, or more than LoRA was trained, or on another base"
            )

    def find(self, name: str) -> Tensor | None:
        """The base's weight of that name, with or without the backbone's before it, or of one that it is tied to.

        Of a head only what lies in the base's files.
        """
        names = self._names(name)
        for candidate in (*names, *(alias for given in names for alias in self._aliases.get(given, ()))):
            if candidate in self._by_name:
                return self._by_name[candidate].read()
        if not self.stored or self.shape.is_head(name):
            return None
        # What only transformers can translate from the names in the files.
        return next((self._loaded[given] for given in names if given in self._loaded), None)

    def _fault(self, where: Path, name: str, tensor: Tensor) -> str | None:
        """How a tensor differs from the base's; None where it does not."""
        known = self._computed(name, tensor)
        known = self.find(name) if known is None else known
        if known is not None:
            return difference(tensor, known)
        if not self.stored and any(given in self._aliases for given in self._names(name)):
            raise AdapterError(
                f"{where}: holds {name!r} and other tensors of the base, and the weights of {self.base} are not here "
                f"to compare them with",
                SetArgument("base", note="a folder with its weights"),
                Advice("keep only what was trained in the file"),
            )
        raise AdapterError(f"{where}: {name!r} has no place in the model; wrong base, or not plain LoRA")

    def _computed(self, name: str, like: Tensor) -> Tensor | None:
        """What the architecture computes under that name, cut to the size of `like`; None where it computes nothing.

        A buffer may have moved to another module since the file was written; its own name then says which it is.
        """
        for glob, values in self.shape.family.computed.items():
            if fnmatchcase(name, glob) or fnmatchcase(name, f"*.{glob}"):
                return values(like)
        buffers = self._buffers
        leaf = name.rpartition(".")[2]
        found = [buffers[given] for given in self._names(name) if given in buffers] or [
            buffer for key, buffer in buffers.items() if key.rpartition(".")[2] == leaf
        ]
        if not found or any(not torch.equal(found[0], other) for other in found[1:]):
            return None
        if found[0].ndim == like.ndim:
            return found[0][tuple(slice(size) for size in like.shape)]
        return found[0]

    def _names(self, name: str) -> tuple[str, ...]:
        """The names that a tensor may have here: checkpoints of bare backbones lack the backbone's."""
        name = self.shape.family.loralib_names.get(name, name)
        prefix = f"{self.shape.family.backbone}."
        return tuple(dict.fromkeys((name, f"{prefix}{name}", name.removeprefix(prefix))))

    @cached_property
    def _shapes(self) -> tuple[Model, ...]:
        """The net at hand, and the one that writes text: a file may hold the head of the other."""
        if self.shape.output == "text" or "text" not in self.shape.family.heads:
            return (self.shape,)
        return (self.shape, skeleton(self._config(), "text"))

    @cached_property
    def _aliases(self) -> dict[str, tuple[str, ...]]:
        """Name of a weight -> all names of it; a tied one has several."""
        groups = [tuple(group) for shape in self._shapes for group in parameter_names(shape).values()]
        return {name: group for group in groups for name in group}

    @cached_property
    def _by_name(self) -> dict[str, Stored]:
        names = stored_names([tensor.name for tensor in self.stored], self.shape, set(self._aliases))
        return {names[tensor.name]: tensor for tensor in self.stored}

    @cached_property
    def _buffers(self) -> dict[str, Tensor]:
        shape = skeleton(self._config(), self.shape.output, with_buffers=True)
        return {name: buffer for name, buffer in shape.net.named_buffers() if not buffer.is_meta}

    @cached_property
    def _loaded(self) -> dict[str, Tensor]:
        model = load_base(self._config(), self.base, None, self.shape.output)
        return {name: t for name, t in model.net.state_dict().items() if not model.is_head(name)}

    def _config(self) -> PretrainedConfig:
        return copy.deepcopy(self.shape.net.config)


def difference(tensor: Tensor, known: Tensor) -> str | None:
    """How a tensor differs from what it should be, rounded to its own dtype; None where it does not."""
    if tensor.shape != known.shape:
        return f"is {list(tensor.shape)}, and the base's {list(known.shape)}"
    if torch.equal(tensor, known.to(tensor.dtype)):
        return None
    if not torch.isfinite(tensor).all():
        return "is not finite"
    largest = (tensor.double() - known.double()).abs().max().item()
    return f"differs from the base's by up to {largest:.3g}"
