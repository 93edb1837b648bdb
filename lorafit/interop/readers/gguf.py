"""The LoRA files of llama.cpp, as lorafit and llama.cpp's `convert_lora_to_gguf.py` write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.errors import AdapterError, DamagedError, NotFoundError, WrongBaseError, reason_of
from lorafit.files import JsonObject
from lorafit.interop.readers.base import PairReader, check_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from lorafit.interop.base_tensors import BaseTensors
    from lorafit.interop.foreign import Foreign

_ARCHITECTURE = "general.architecture"
_ALPHA = "adapter.lora.alpha"
_LORA = {"general.type": "adapter", "adapter.type": "lora"}
_UNDERSTOOD = {*_LORA, _ARCHITECTURE, _ALPHA}
# What describes the file alone.
_WITHOUT_EFFECT = re.compile(r"(general|GGUF)\..+|adapter\.lora\.(task_name|prompt_prefix)")


class GgufReader(PairReader):
    """Names and orders of llama.cpp (see `gguf_layout`); PEFT's layout of fused projections."""

    name: ClassVar[str] = "gguf"
    help: ClassVar[str] = "a LoRA file of llama.cpp"

    @override
    def read(self, path: Path) -> Foreign:
        """A file, or a folder in which it has the name that the writer gives it. Quantised factors are dequantised."""
        import gguf
        import numpy as np
        import torch

        from lorafit.interop.foreign import Foreign
        from lorafit.interop.gguf_layout import FILE

        file = path / FILE if path.is_dir() else path
        if not file.is_file():
            raise NotFoundError(f"{file}: no such file")
        try:
            reader = gguf.GGUFReader(file)
            facts = {key: str(field.contents()) for key, field in reader.fields.items()}
        except (ValueError, OSError, IndexError, KeyError, OverflowError) as error:
            raise DamagedError(f"{file}: not a whole GGUF file: {reason_of(error)}") from None
        _check(file, facts)
        layers: dict[str, dict[str, Tensor]] = {}
        for tensor in reader.tensors:
            name, _, suffix = tensor.name.rpartition(".")
            if suffix not in ("lora_a", "lora_b"):
                raise AdapterError(f"{file}: {tensor.name!r} is no factor of an adapter")
            values = torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type))
            layers.setdefault(name, {})[suffix[-1].upper()] = values.float()
        check_pairs(file, layers)
        alpha = float(str(np.float32(facts.get(_ALPHA, 0.0))))  # in the fewest digits of a float32
        scales = {name: alpha / factors["B"].shape[-1] if alpha else 1.0 for name, factors in layers.items()}
        return Foreign(file, layers, {}, scales, settings=facts)

    @override
    def on_base(self, foreign: Foreign, base: BaseTensors) -> Foreign:
        """By the base's names, in the order of its rows."""
        from dataclasses import replace

        from lorafit import lora
        from lorafit.interop.gguf_layout import GgufLayout

        layout, here = GgufLayout.of(base.shape), base.shape.family.model_type
        if layout is None:
            raise AdapterError(
                f"{foreign.path}: how llama.cpp orders the weights of a {here} is not known here"
            )
        made_for = foreign.settings[_ARCHITECTURE]
        if made_for != layout.architecture:
            raise WrongBaseError(
                f"{foreign.path}: is for a {made_for!r}, and {base.base} is a {here}; wrong base"
            )
        modules = {layout.tensor(name): name for name in lora.adaptable(base.shape.net)}
        layers, scales = {}, {}
        for tensor, factors in foreign.layers.items():
            name = modules.get(tensor)
            if name is None:
                raise AdapterError(
                    f"{foreign.path}: adapts {tensor!r}, which this base does not have; wrong base"
                )
            a, b = layout.from_factors(tensor, factors["A"], factors["B"])
            layers[name], scales[name] = {"A": a, "B": b}, foreign.scales[tensor]
        return replace(foreign, layers=layers, scales=scales)


def _check(file: Path, facts: JsonObject) -> None:
    """Raises AdapterError for what is no LoRA of llama.cpp, or more than LoRA."""
    if {key: facts.get(key) for key in _LORA} != _LORA:
        raise AdapterError(f"{file}: is no LoRA adapter of llama.cpp")
    for key, value in facts.items():
        if key not in _UNDERSTOOD and not _WITHOUT_EFFECT.fullmatch(key):
            raise AdapterError(f"{file}: {key} = {value} has no counterpart in lorafit")
    if _ARCHITECTURE not in facts:
        raise DamagedError(f"{file}: does not say of what architecture it is")
