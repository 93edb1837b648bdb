"""PEFT's adapter folder: `adapter_config.json` and `adapter_model.safetensors`, or `.bin` as older versions write."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.errors import AdapterError, DamagedError, NotFoundError, reason_of
from lorafit.files import JsonObject
from lorafit.interop.readers.base import Reader

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorafit.interop.foreign import Factors, Foreign, Slices

_FACTOR = re.compile(r"(.+)\.lora_(embedding_)?([AB])(\.default)?(\.weight)?")
_SAVED = re.compile(r"\.modules_to_save(\.default)?\.")

# Settings of PEFT's LoraConfig that change the function in a way that LoRA as such cannot express.
_REFUSED = (
    "use_dora",
    "lora_bias",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
)


class PeftReader(Reader):
    """Several slices of one module are one PEFT LoRA with a B of one block for each (see `peft_layout`)."""

    name: ClassVar[str] = "peft"
    help: ClassVar[str] = "a folder that peft's `save_pretrained` wrote"
    holds_alpha: ClassVar[bool] = True

    @override
    def read(self, path: Path) -> Foreign:
        """A PEFT folder, or its tensor file with the config beside it."""
        from lorafit.interop.foreign import Foreign
        from lorafit.interop.peft_layout import CONFIG_FILE, PREFIX

        folder = path if path.is_dir() else path.parent
        config = _read_config(folder / CONFIG_FILE)
        layers: dict[str, dict[str, Tensor]] = {}
        others = {}
        for key, tensor in _read_tensors(folder).items():
            name = key.removeprefix(PREFIX)
            if match := _FACTOR.fullmatch(name):
                layers.setdefault(match[1], {})[match[3]] = tensor.float()
            else:
                others[_SAVED.sub(".", name)] = tensor.float()
        if half := sorted(name for name, factors in layers.items() if len(factors) != 2):
            raise DamagedError(f"{folder}: {half[0]!r} has only one of its two factors")
        scales = {name: _scale(config, name, factors["A"].shape[0]) for name, factors in layers.items()}
        return Foreign(folder, layers, others, scales, config.get("lora_dropout", 0.0))

    @override
    def factors(self, foreign: Foreign, name: str, module: nn.Module, slices: Slices) -> Factors:
        """Out of PEFT's layout."""
        from lorafit.interop.peft_layout import from_peft

        a, b = foreign.layers[name]["A"], foreign.layers[name]["B"]
        try:
            return from_peft(a, b, module, slices.count, foreign.scales[name])
        except ValueError as error:
            raise AdapterError(f"{foreign.path}: {name!r}: {error}") from None


def _scale(config: JsonObject, name: str, rank: int) -> float:
    """alpha / rank, or alpha / sqrt(rank) where it is rank-stabilised; a pattern matches the end of a module's name."""
    alpha: float = config["lora_alpha"]
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", name):
            alpha = value
            break
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _read_config(path: Path) -> JsonObject:
    if not path.is_file():
        raise NotFoundError(f"{path.parent}: no {path.name} there, so it is not a PEFT adapter")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind, alpha = config["peft_type"], config["lora_alpha"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{path}: not a LoRA configuration of PEFT: {error}") from None
    if kind != "LORA" or not isinstance(alpha, int | float):
        raise AdapterError(f"{path}: peft_type {kind!r}, lora_alpha {alpha!r}: only LoRA can be imported")
    refused = [key for key in _REFUSED if config.get(key)]
    if config.get("bias", "none") != "none":
        refused.append("bias")
    if refused:
        raise AdapterError(f"{path}: {refused[0]} = {config[refused[0]]!r} has no counterpart in lorafit")
    return dict(config)


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torch import Tensor

    from lorafit.interop.peft_layout import PICKLE_FILE, TENSOR_FILE
    from lorafit.models.pickled import read_pickled

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
