"""How the outputs of a head for labels are read, by what the task gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorafit.data.rows import Label, single
from lorafit.metrics import Kind


@dataclass(frozen=True)
class Reading:
    """Outputs [n, classes] as labels, and as probabilities [n, classes] where there are any.

    `plain`: a label as the metrics of its kind compare it.
    """

    decide: Callable[[Tensor], Sequence[Label]]
    plain: Callable[[Label], Label]
    probabilities: Callable[[Tensor], Tensor] | None = None


READINGS: Mapping[Kind, Reading] = {
    "label": Reading(
        lambda outputs: outputs.argmax(dim=1).tolist(),
        lambda label: int(single(label)),
        lambda outputs: outputs.softmax(dim=1),
    ),
    "labels": Reading(
        lambda outputs: [tuple(row) for row in (outputs > 0).int().tolist()],  # more likely than not
        lambda label: label,
        torch.sigmoid,
    ),
    "score": Reading(lambda outputs: outputs[:, 0].tolist(), single),
}
