"""What the trained model answered on a few inputs: by it a later load is proven right, or its fault named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from lorafit.models import Model

FINGERPRINT_FILE = "fingerprint.safetensors"
NUM_INPUTS = 8
_NUM_COLUMNS = 256  # logits kept per input: evenly spaced over the vocabulary


@dataclass(frozen=True)
class Fingerprint:
    """Inputs and answers, both in float32 on the CPU.

    `input_ids` [n, longest], -1 behind the end; `columns` [c] the outputs that were kept;
    `trained` [n, c] what base + adapter gave at the last position (text) or at the head; `base` [n, c] what the base
    alone gave, empty where the base alone has no such output.
    """

    input_ids: Tensor
    columns: Tensor
    trained: Tensor
    base: Tensor

    def inputs(self) -> list[list[int]]:
        """The inputs without their padding."""
        return [[token for token in row if token >= 0] for row in self.input_ids.tolist()]

    def to_bytes(self) -> bytes:
        return safetensors.torch.save(vars(self))

    @staticmethod
    def of_bytes(content: bytes) -> Fingerprint:
        return Fingerprint(**safetensors.torch.load(content))


def take_fingerprint(
    model: Model, inputs: Sequence[Sequence[int]], base: Tensor | None = None
) -> Fingerprint:
    """Answers of `model` on `inputs` (ids). `base`: answers of the bare base, taken earlier with `answers`."""
    trained = answers(model, inputs)
    columns = kept_columns(trained.shape[1])
    padded = torch.full((len(inputs), max(map(len, inputs))), -1)
    for row, ids in enumerate(inputs):
        padded[row, : len(ids)] = torch.tensor(ids)
    kept_base = base[:, columns] if base is not None else torch.zeros(0)
    return Fingerprint(padded, columns, trained[:, columns].contiguous(), kept_base.contiguous())


def kept_columns(num_outputs: int) -> Tensor:
    """Which of the outputs a fingerprint keeps."""
    return torch.linspace(0, num_outputs - 1, min(num_outputs, _NUM_COLUMNS)).long()


@torch.inference_mode()
def answers(model: Model, inputs: Sequence[Sequence[int]]) -> Tensor:
    """Logits at the last position of each input (text), or the head's outputs: float32 [n, outputs] on the CPU.

    One input at a time, so that the figures do not depend on batching.
    """
    was_training = model.net.training
    model.net.eval()
    rows = []
    for ids in inputs:
        logits = model.net(input_ids=torch.tensor([list(ids)], device=model.device)).logits
        rows.append((logits[0, -1] if model.output == "text" else logits[0]).float().cpu())
    model.net.train(was_training)
    return torch.stack(rows)
