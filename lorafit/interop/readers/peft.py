"""PEFT's adapter folder: `adapter_config.json` and `adapter_model.safetensors`, or `.bin` as older versions write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.errors import DamagedError, NotFoundError, reason_of
from lorafit.interop.readers.base import PairReader, check_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from lorafit.interop.base_tensors import BaseTensors
    from lorafit.interop.foreign import Foreign

_FACTOR = re.compile(r"(.+)\.lora_(embedding_)?([AB]|magnitude_vector)(\.default)?(\.weight)?")
_ORIGINAL = ".original_module."
_WRAPPER = re.compile(r"\.((token_adapter\.)?base_layer|modules_to_save(\.default)?)(?=\.)")
_ROWS = re.compile(r"\.token_adapter\.trainable_tokens_delta(\.default)?$")


class PeftReader(PairReader):
    """Several slices of one module are one PEFT LoRA with a B of one block for each (see `peft_layout`)."""

    name: ClassVar[str] = "peft"
    help: ClassVar[str] = "a folder that peft's `save_pretrained` wrote"

    @override
    def read(self, path: Path) -> Foreign:
        """A PEFT folder, or its tensor file with the config beside it."""
        from lorafit.interop.foreign import Foreign
        from lorafit.interop.peft_config import CONFIG_FILE, PREFIX, PeftConfig

        folder = path if path.is_dir() else path.parent
        config = PeftConfig.read(folder / CONFIG_FILE)
        layers: dict[str, dict[str, Tensor]] = {}
        others = {}
        tensors = _read_tensors(folder)
        for key, tensor in tensors.items():
            name = key.removeprefix(PREFIX)
            if key.replace(_ORIGINAL, ".") != key and key.replace(_ORIGINAL, ".") in tensors:
                continue  # the trained module stands in its place
            if match := _FACTOR.fullmatch(name):
                layers.setdefault(match[1], {})[match[3][0].upper()] = tensor.float()
            else:
                others[_ROWS.sub(".rows", _WRAPPER.sub("", name))] = tensor
        check_pairs(folder, layers)
        for name, factors in layers.items():
            if ("M" in factors) != config.rescales:
                has = "a" if "M" in factors else "no"
                raise config.refusal("use_dora", f"{name!r} has {has} magnitude")
            if (rank := len(factors["A"])) != config.rank(name):
                raise config.refusal(
                    "r", f"rank_pattern, too, says nothing of {name!r}, which is of rank {rank}"
                )
        scales = {name: config.scale(name) for name in layers}
        return Foreign(folder, layers, others, scales, config.dropout, settings=config.document)

    @override
    def on_base(self, foreign: Foreign, base: BaseTensors) -> Foreign:
        """Every module that PEFT would adapt or save is here, and no other; and what PEFT takes out of the base when it
        loads such an adapter, the adapter takes back."""
        from dataclasses import replace

        from lorafit.interop.peft_config import CONFIG_FILE, PeftConfig
        from lorafit.interop.peft_modules import (
            check_adapted,
            check_task,
            token_rows,
            trained_whole,
            with_residual,
        )

        config = PeftConfig(foreign.path / CONFIG_FILE, foreign.settings)
        check_task(config, base.shape)
        check_adapted(config, foreign, base.shape)
        rows = token_rows(config, foreign, base.shape)
        others = {n: t for n, t in foreign.others.items() if n in rows or not n.endswith(".rows")}
        trained = trained_whole(config, foreign, base.shape) | rows
        return replace(foreign, layers=with_residual(config, foreign, base), others=others, trained=trained)


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torch import Tensor

    from lorafit.interop.peft_layout import PICKLE_FILE, TENSOR_FILE
    from lorafit.models.files.pickled import read_pickled

    path = folder / TENSOR_FILE
    try:
        if path.is_file():
            return load_file(path)
        path = folder / PICKLE_FILE
        document = read_pickled(path, DamagedError)
    except FileNotFoundError:
        raise NotFoundError(f"{folder}: neither {TENSOR_FILE} nor {PICKLE_FILE} is there") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedError(f"{path}: cannot be read: {reason_of(error)}") from None
    if not isinstance(document, dict):
        raise DamagedError(f"{path}: is not a state dict")
    for name, tensor in document.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DamagedError(f"{path}: {name!r} is no tensor")
    return document
