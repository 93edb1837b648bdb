"""The shape of a base by its files alone, for families that tests have proven: without transformers.

A net of bare modules under the names that transformers gives them. Nothing can be computed with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import Tensor, nn

from lorafit.files import JsonObject
from lorafit.metrics import Kind
from lorafit.models.families import FAMILIES, Family, is_proven
from lorafit.models.files.stored import Stored
from lorafit.models.model import Model

_TOKENS = ("wte", "embed_tokens", "embed_in")  # what decoders call their table of tokens
_SPECIAL = (
    "text_config",
    "quantization_config",
    "auto_map",
)  # of which only transformers knows what they mean


class FileConfig(SimpleNamespace):
    """What a config.json says, and no default of its class."""

    def get_text_config(self, decoder: bool = False) -> Self:
        """Itself: configs with another one inside have no outline."""
        del decoder
        return self


class Conv1D(nn.Module):
    """GPT-2's linear layer.  weight [in, out]."""

    def __init__(self, shape: tuple[int, ...], *, bias: bool) -> None:
        super().__init__()
        self.nf = shape[1]
        self.weight = nn.Parameter(torch.empty(shape, device="meta"))
        self.bias = nn.Parameter(torch.empty(self.nf, device="meta")) if bias else None


class _Net(nn.Module):
    def __init__(self, config: FileConfig, prefix: str, output: str) -> None:
        super().__init__()
        self.config, self.base_model_prefix, self._output = config, prefix, output

    def get_output_embeddings(self) -> nn.Module | None:
        return dict(self.named_modules()).get(self._output)


def outline(
    config: JsonObject, stored: Iterable[Stored], trained: Mapping[str, Tensor], output: Kind
) -> Model | None:
    """The base's shape; None where its files alone do not surely tell it.

    `config`: its config.json. `trained`: the tensors of an adapter, which give a fresh head its shapes.
    """
    family, architecture = _known(config, output)
    if family is None or not architecture:
        return None
    head, prefix = family.heads[output], f"{family.backbone}."
    held = [tensor for tensor in stored if tensor.dtype.is_floating_point]
    is_bare = not any(tensor.name.startswith(prefix) for tensor in held)
    shapes = {f"{prefix}{t.name}" if is_bare else t.name: tuple(t.shape) for t in held}
    has_output = any(tensor.name == f"{head.output}.weight" for tensor in held)
    if output == "text" and has_output != (config.get("tie_word_embeddings") is False):
        return None  # two that may differ, or one that is missing
    own = (prefix,) if head.trains else (prefix, f"{head.output}.")
    shapes = {n: s for n, s in shapes.items() if n.startswith(own) and not _is_computed(family, n)}
    shapes |= {n: tuple(t.shape) for n, t in trained.items() if family.is_head(n, output)}
    # Whoever writes a model asks for its class by name.
    net: Any = type(architecture, (_Net,), {})(FileConfig(**config), family.backbone, head.output)
    for module, parameters in _by_module(shapes).items():
        _put(net, module, _made(family, module, parameters))
    if output == "text" and not has_output:
        tables = [p for n, p in net.named_parameters() if n.split(".")[-2] in _TOKENS]
        if len(tables) != 1:
            return None
        rows, width = tables[0].shape
        tied = nn.Linear(width, rows, bias=False, device="meta")
        tied.weight = tables[0]
        _put(net, head.output, tied)
    return Model(net.eval(), None, family, output)


def _known(config: JsonObject, output: Kind) -> tuple[Family | None, str]:
    """Its family, where tests have proven what stands there, and the class of its net."""
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None or not is_proven(family) or output not in family.heads or config.get("is_decoder"):
        return None, ""
    if family.heads[output].reads == "last" or any(key in config for key in _SPECIAL):
        return None, ""  # the last token that is not padding: only the tokenizer knows that one
    named = str((config.get("architectures") or [""])[0])
    if output == "text":
        return family, named if named.endswith(("LMHeadModel", "ForCausalLM")) else ""
    stem = re.sub(r"(For[A-Z]\w*|Model)$", "", named)
    return family, f"{stem}ForSequenceClassification" if stem else ""


def _is_computed(family: Family, name: str) -> bool:
    return any(fnmatchcase(name, f"*.{glob}") for glob in family.computed)


def _by_module(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, dict[str, tuple[int, ...]]]:
    modules: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        module, _, key = name.rpartition(".")
        modules.setdefault(module, {})[key] = shape
    return modules


def _made(family: Family, name: str, parameters: Mapping[str, tuple[int, ...]]) -> nn.Module:
    """A linear layer, where it surely is one: a matrix in a block, or of the head. All else, tables among it, has its
    parameters and no kind, so that nothing can be attached to it."""
    shape = parameters.get("weight", ())
    in_block = name.startswith(f"{family.backbone}.{family.blocks}.")
    if len(shape) == 2 and not parameters.keys() - {"weight", "bias"}:
        if in_block and family.transposed:
            return Conv1D(shape, bias="bias" in parameters)
        if in_block or not name.startswith(f"{family.backbone}."):
            return nn.Linear(shape[1], shape[0], bias="bias" in parameters, device="meta")
    part = nn.Module()
    for key, each in parameters.items():
        part.register_parameter(key, nn.Parameter(torch.empty(each, device="meta")))
    return part


def _put(net: nn.Module, name: str, module: nn.Module) -> None:
    """Under its dotted name, with the modules that lie between."""
    *parents, leaf = name.split(".")
    for parent in parents:
        if parent not in net._modules:
            net.add_module(parent, nn.Module())
        net = net.get_submodule(parent)
    if leaf in net._modules:  # it came with what lies below it
        for child, inner in net.get_submodule(leaf).named_children():
            module.add_module(child, inner)
    net.add_module(leaf, module)
