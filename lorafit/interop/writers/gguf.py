"""The file that llama.cpp adds to a base with `--lora`."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.interop.writers.base import (
    Writer,
    added_rows,
    refusals_of_added_rows,
    refusals_unless_low_rank,
    tensors_beside_layers,
)

if TYPE_CHECKING:
    from lorafit.adapters import Adapter, AdapterCard
    from lorafit.interop.gguf_layout import GgufLayout
    from lorafit.lora import LoRALayer
    from lorafit.models import Model


class GgufWriter(Writer):
    """The factors of every layer in float32. The file has one alpha, by which llama.cpp adds alpha / rank B A: the one
    that most layers need; what the scale of another layer differs from it is put into its B."""

    name: ClassVar[str] = "gguf"
    help: ClassVar[str] = "a file that llama.cpp loads with `--lora`"

    @override
    def refusals(self, adapter: Adapter, shape: Model) -> list[str]:
        """Other methods, architectures, whole tensors, and layers that llama.cpp does not add adapters to."""
        from lorafit import lora
        from lorafit.interop.gguf_layout import GgufLayout

        layout = GgufLayout.of(shape)
        if reasons := refusals_unless_low_rank(adapter, shape, self.name):
            return reasons
        if layout is None:
            return [
                f"how llama.cpp orders the weights of a {shape.family.model_type} is not known here; use merge"
            ]
        rows = {f"{table}.rows" for table in added_rows(adapter, shape)}
        whole = [
            f"{name}: trained whole, which the {self.name} format has no place for; use merge"
            for name in tensors_beside_layers(adapter, shape)
            if name not in rows
        ]
        tied = bool(shape.family.text_config(shape.net.config).tie_word_embeddings)
        found = {
            name: _refusal(name, layer, layout, tied)
            for name, layer in lora.adapted_layers(shape.net).items()
        }
        return [
            *refusals_of_added_rows(shape, self.name),
            *whole,
            *(f"{name}: {reason}; use merge" for name, reason in found.items() if reason),
        ]

    @override
    def write(self, adapter: Adapter, shape: Model, target: Path) -> None:
        """One file: what it is, alpha, and a pair of tensors a layer."""
        import gguf

        from lorafit import lora
        from lorafit.interop.gguf_layout import FILE, GgufLayout
        from lorafit.interop.peft_layout import to_peft

        layout = GgufLayout.of(shape)
        assert layout is not None  # see `refusals`
        writer = gguf.GGUFWriter(target / FILE, layout.architecture)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_name(f"{adapter.card.task['name']} adapter of {adapter.card.base.id}")
        layers = lora.filled_layers(shape.net, adapter.tensors)
        pairs = {name: tuple(to_peft(layer).values()) for name, layer in layers.items()}
        alphas = {name: layer.scaling * len(pairs[name][0]) for name, layer in layers.items()}
        ((alpha, _),) = Counter(alphas.values()).most_common(1)
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
        for name, (a, b) in pairs.items():
            tensor = layout.tensor(name)
            assert tensor is not None
            factors = layout.factors(tensor, a, b if alphas[name] == alpha else b * (alphas[name] / alpha))
            for suffix, factor in zip(("lora_a", "lora_b"), factors, strict=True):
                writer.add_tensor(f"{tensor}.{suffix}", factor.contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    @override
    def card_paragraph(self, card: AdapterCard) -> str:
        """The command that serves it."""
        return (
            f"With llama.cpp, beside {card.base.id} as its `convert_hf_to_gguf.py` converts it:\n\n```sh\n"
            f"llama-server -m BASE.gguf --lora THIS_FOLDER/adapter.gguf\n```\n\n"
            f"Back into an adapter folder of lorafit:\n\n```sh\n"
            f"lorafit import THIS_FOLDER OUT --format gguf --base {shlex.quote(card.base.id)}\n```"
        )


def _refusal(name: str, layer: LoRALayer, layout: GgufLayout, tied: bool) -> str | None:
    """Why llama.cpp would not compute what the layer does; None where it does."""
    from lorafit.interop.gguf_layout import OUTPUT, TOKENS

    tensor = layout.tensor(name)
    if tensor is None:
        return "llama.cpp adds no adapter there"
    if tied and tensor in (TOKENS, OUTPUT):
        return "llama.cpp holds the tied embeddings once, and adapts neither their rows nor the output alone"
    if beyond := sorted(layer.adapter_parameters().keys() - {"lora_A", "lora_B"}):
        return f"the gguf format has no place for {beyond[0]}"
    return None
