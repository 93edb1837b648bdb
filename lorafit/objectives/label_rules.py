"""What the outputs of a head for labels mean, by what the task gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorafit.data.rows import Label
from lorafit.metrics import Kind


@dataclass(frozen=True)
class LabelRule:
    """Outputs [n, classes] as labels, and as probabilities [n, classes] where there are any."""

    decide: Callable[[Tensor], Sequence[Label]]
    probabilities: Callable[[Tensor], Tensor] | None = None


LABEL_RULES: Mapping[Kind, LabelRule] = {
    "label": LabelRule(
        lambda outputs: outputs.argmax(dim=1).tolist(), lambda outputs: outputs.softmax(dim=1)
    ),
    "labels": LabelRule(
        lambda outputs: [tuple(row) for row in (outputs > 0).int().tolist()],  # more likely than not
        torch.sigmoid,
    ),
    "score": LabelRule(lambda outputs: outputs[:, 0].tolist()),
}
