"""Tiny random models of every family, without tokenizer, for tests that hold them against each other."""

from __future__ import annotations

import copy
import io
import math
import pickle
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lorafit.metrics import Kind
from lorafit.models import FAMILIES, Family, Model

VOCAB_SIZE = 29
DECODERS = tuple(name for name, family in FAMILIES.items() if "text" in family.heads)
ENCODERS = tuple(name for name in FAMILIES if name not in DECODERS)

_SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "intermediate_size": 24, "vocab_size": VOCAB_SIZE}
_TOKENS = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
# What has been drawn, and the generator's state behind it: a copy takes an eighth of the time.
_DRAWN: dict[tuple[str, Kind, str], tuple[Model, Template, Tensor]] = {}


class Template:
    """A net to be copied, tensors and all, in a quarter of the time that copy.deepcopy takes: the rest is pickled."""

    def __init__(self, net: PreTrainedModel) -> None:
        self._tensors: list[Tensor] = []
        file = io.BytesIO()
        _Pickler(file, self._tensors).dump(net)
        self._pickled = file.getvalue()

    def copy(self) -> PreTrainedModel:
        """Tensors that are one in the net are one in the copy."""
        net: PreTrainedModel = _Unpickler(io.BytesIO(self._pickled), copy.deepcopy(self._tensors)).load()
        return net


class _Pickler(pickle.Pickler):
    """Puts every tensor into a list, and its place there into the file."""

    def __init__(self, file: io.BytesIO, tensors: list[Tensor]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._tensors, self._places = tensors, dict[int, int]()

    def persistent_id(self, part: object) -> int | None:
        if not isinstance(part, Tensor):
            return None
        if id(part) not in self._places:
            self._places[id(part)] = len(self._tensors)
            self._tensors.append(part)
        return self._places[id(part)]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, tensors: list[Tensor]) -> None:
        super().__init__(file)
        self._tensors = tensors

    def persistent_load(self, place: int) -> Tensor:
        return self._tensors[place]


def tiny_model(model_type: str, output: Kind | None = None, **changes: Any) -> Model:
    """A model in eval mode, always with the same weights, large enough for its opinions to differ.

    `output`: by default text for a decoder, labels for an encoder.
    """
    family = FAMILIES[model_type]
    output = output or ("text" if "text" in family.heads else "label")
    positions = 64 if "text" in family.heads else 66
    values = {**_SIZES, **_TOKENS, "max_position_embeddings": positions, **changes}
    key = (model_type, output, repr(values))
    if key not in _DRAWN:
        drawn = random_model(family, output, family.tiny_config(**values))
        _DRAWN[key] = drawn, Template(drawn.net), torch.get_rng_state()
    drawn, template, state_behind = _DRAWN[key]
    torch.set_rng_state(state_behind)
    return replace(drawn, net=template.copy())


def random_model(family: Family, output: Kind, config: Any) -> Model:
    """A net of that config with random weights."""
    torch.manual_seed(0)
    if output != "text":
        config.num_labels = 3
    net = family.heads[output].auto_class.from_config(config)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.7 / math.sqrt(parameter.shape[-1] / 16))
    return Model(net.eval(), None, family, output)


def some_inputs() -> dict[str, Tensor]:
    """Two texts, the second one padded."""
    ids = torch.tensor([[5, 1, 7, 2, 9, 4, 11], [3, 8, 6, 20, 1, 0, 0]])
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    return {"input_ids": ids, "attention_mask": mask}


def outputs(model: Model) -> Tensor:
    """The model's answers to `some_inputs`, in whatever mode it is."""
    return model.net(**some_inputs()).logits
