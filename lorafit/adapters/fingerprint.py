"""What the trained model answered on a few inputs: by it a later load is proven right, or its fault named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from lorafit.models import Model, accepted

FINGERPRINT_FILE = "fingerprint.safetensors"
NUM_INPUTS = 8
_NUM_TOKENS = 4  # of each input: enough to tell functions apart, and cheap to compute again
_NUM_TOKENS_FOR_ANY_HEAD = 16
_BATCH_SIZE = 8  # with so few tokens a net holds little beside its weights
_NUM_COLUMNS = 256  # logits kept per input: evenly spaced over the vocabulary
_TENSORS = ("input_ids", "columns", "trained", "base")

# Answers count as the same within this share of the largest logit: float32 sums differ between machines in the
# last digits, bfloat16 products in the third.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}


@dataclass(frozen=True)
class Fingerprint:
    """Inputs and answers, in float32 on the CPU.

    `input_ids` [n, longest], -1 behind the end; `columns` [c] the outputs that were kept;
    `trained` [n, c] what base + adapter gave at the last position (text) or at the head; `base` [n, c] what the base
    alone gave, empty where the base alone has no such output; `precision` of the arithmetic that gave them.
    """

    input_ids: Tensor
    columns: Tensor
    trained: Tensor
    base: Tensor
    precision: str = "float32"

    def inputs(self) -> list[list[int]]:
        """The inputs without their padding."""
        return [[token for token in row if token >= 0] for row in self.input_ids.tolist()]

    @property
    def tolerance(self) -> float:
        """The largest difference between two computations of the same answers."""
        return tolerance(self.trained, self.precision)

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        tensors = {name: getattr(self, name) for name in _TENSORS}
        return safetensors.torch.save(tensors, metadata={"precision": self.precision})

    @staticmethod
    def of_bytes(content: bytes) -> Fingerprint:
        """Raises ValueError, KeyError, TypeError or SafetensorError for what is not a fingerprint."""
        tensors = safetensors.torch.load(content)
        if [tensors[name].dtype for name in _TENSORS] != [torch.int64] * 2 + [torch.float32] * 2:
            raise ValueError("its tensors are of other types")
        size = int.from_bytes(content[:8], "little")
        precision = json.loads(content[8 : 8 + size])["__metadata__"]["precision"]
        fingerprint = Fingerprint(**{name: tensors[name] for name in _TENSORS}, precision=precision)
        shape = (fingerprint.input_ids.shape[0], *fingerprint.columns.shape)
        wanted = [fingerprint.trained.shape] + [fingerprint.base.shape] * bool(fingerprint.base.numel())
        whole = precision in _TOLERANCE and all(tuple(s) == shape for s in wanted)
        if not whole or not all(fingerprint.inputs()) or fingerprint.columns.min() < 0:
            raise ValueError("its tensors do not fit each other")
        if not (torch.isfinite(fingerprint.trained).all() and torch.isfinite(fingerprint.base).all()):
            raise ValueError("it holds values that are not finite")
        return fingerprint


def tolerance(reference: Tensor, precision: str) -> float:
    """The largest difference between two computations of the same answers in a precision."""
    return _TOLERANCE[precision] * max(reference.abs().max().item(), 1.0)


def take_fingerprint(
    model: Model, inputs: Sequence[Sequence[int]], base: Tensor | None = None
) -> Fingerprint:
    """Answers of `model` on `inputs` (ids). `base`: answers of the bare base, taken earlier with `answers`.

    A base with a fresh head has no answers of its own, so none are kept of it.
    """
    trained = answers(model, inputs)
    columns = kept_columns(trained.shape[1])
    short = _shortened(model, inputs)
    padded = torch.full((len(short), max(map(len, short))), -1)
    for row, ids in enumerate(short):
        padded[row, : len(ids)] = torch.tensor(ids)
    keeps_base = base is not None and model.output == "text"
    kept_base = base[:, columns] if base is not None and keeps_base else torch.zeros(0)
    return Fingerprint(
        padded, columns, trained[:, columns].contiguous(), kept_base.contiguous(), precision_of(model)
    )


def precision_of(model: Model) -> str:
    """The coarsest number format that the net's answers pass through."""
    device = model.device.type
    dtypes = {parameter.dtype for parameter in model.net.parameters()}
    if torch.is_autocast_enabled(device):
        dtypes.add(torch.get_autocast_dtype(device))
    return coarsest(dtypes)


def coarsest(dtypes: Iterable[torch.dtype]) -> str:
    """The number format in which the least is held. Positions, masks and the like, in whole numbers, do not count."""
    names = {str(dtype).removeprefix("torch.") for dtype in dtypes}
    return max(names & _TOLERANCE.keys(), key=_TOLERANCE.__getitem__, default="float32")


def kept_columns(num_outputs: int) -> Tensor:
    """Which of the outputs a fingerprint keeps."""
    return torch.linspace(0, num_outputs - 1, min(num_outputs, _NUM_COLUMNS)).long()


@torch.inference_mode()
def answers(model: Model, inputs: Sequence[Sequence[int]]) -> Tensor:
    """Logits at the last position of each input (text), or the head's outputs: float32 [n, outputs] on the CPU.

    Of each input a few tokens; inputs of one length go through the net together, so none is padded.
    """
    was_training = model.net.training
    model.net.eval()
    # No logits but the last, no keys and values kept.
    options = accepted(model.net, logits_to_keep=1, use_cache=False) if model.output == "text" else {}
    short = _shortened(model, inputs)
    rows: dict[int, Tensor] = {}
    for places in _batches(short):
        batch = torch.tensor([short[i] for i in places], device=model.device)
        logits = model.net(input_ids=batch, **options).logits
        last = logits[:, -1] if model.output == "text" else logits
        rows |= dict(zip(places, last.float().cpu(), strict=True))
    model.net.train(was_training)
    return torch.stack([rows[i] for i in range(len(short))])


def _batches(inputs: list[list[int]]) -> Iterator[list[int]]:
    """Indices of inputs of one length, a few at a time: what a net holds of them stays small."""
    for length in sorted({len(ids) for ids in inputs}):
        places = [i for i, ids in enumerate(inputs) if len(ids) == length]
        for start in range(0, len(places), _BATCH_SIZE):
            yield places[start : start + _BATCH_SIZE]


def probe_inputs(vocab_size: int) -> list[list[int]]:
    """Inputs for an adapter without data: the same for the same vocabulary."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(vocab_size, (NUM_INPUTS, _NUM_TOKENS), generator=generator).tolist()


def _shortened(model: Model, inputs: Sequence[Sequence[int]]) -> list[list[int]]:
    """Tokens from all over each input, the first among them: many inputs begin or end alike.

    A head of which only the net knows the way may look for the last token, as BART's does, and the net may need more.
    """
    if model.output != "text" and not model.head.way(model.net.config):
        n = _NUM_TOKENS_FOR_ANY_HEAD
        return [
            list(ids) if len(ids) <= n else [ids[i * (len(ids) - 1) // (n - 1)] for i in range(n)]
            for ids in inputs
        ]
    return [
        [ids[i * len(ids) // n] for i in range(n)] for ids in inputs for n in [min(len(ids), _NUM_TOKENS)]
    ]
