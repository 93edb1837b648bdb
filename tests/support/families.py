"""Families of members on tiny nets, for tests that hold each against the run that it would be alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lorafit import lora
from lorafit.data.batches import SequenceBatch, pack
from lorafit.data.encoding.labelled import EncodedText, LabelBatch, pack_labelled
from lorafit.data.encoding.sequences import EncodedSequence
from lorafit.methods import LoRA
from lorafit.models import Model, take_packed_rows
from lorafit.objectives.classification import label_outputs
from lorafit.training import (
    AdamW,
    FitEvent,
    Member,
    Position,
    ProcessGroup,
    Schedule,
    Steps,
    fit,
    label_loss_sums,
    language_model_loss_sums,
    parameter_groups,
)
from tests.support.tiny_models import tiny_model

NUM_STEPS, NUM_EXAMPLES, BATCH_SIZE = 20, 32, 4
DROPOUT: dict[str, dict[str, Any]] = {
    "gpt2": {"embd_pdrop": 0.1, "attn_pdrop": 0.1, "resid_pdrop": 0.1},
    "roberta": {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1},
}


@dataclass(frozen=True)
class Setting:
    """In what members differ."""

    seed: int = 0
    learning_rate: float = 3e-3
    r: int = 4
    alpha: float = 16.0
    dropout: float = 0.1
    init: str = "loralib"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    num_steps: int = NUM_STEPS
    targets: tuple[str, ...] = ("query", "value", "output", "up", "down")

    def method(self) -> LoRA:
        options = {key: getattr(self, key) for key in ("r", "alpha", "dropout", "init", "targets")}
        return LoRA(**options)

    def member(self, model: Model, examples: Sequence[Any], draws: lora.Draws) -> Member[Any]:
        """A member that trains what trains in the model now."""
        trained = model.trained()
        optimizer = AdamW(
            parameter_groups(trained, model.net, self.weight_decay, "bias_and_norm"), lr=self.learning_rate
        )
        schedule = Schedule(self.num_steps, 2, self.learning_rate)
        steps = Steps(self._order, examples, self.num_steps)
        smoothing = self.label_smoothing
        return Member(trained, optimizer, schedule, steps, Position(), 1.0, smoothing, draws)

    def _order(self, epoch: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(1000 * self.seed + epoch)
        order: list[list[int]] = (
            torch.randperm(NUM_EXAMPLES, generator=generator).view(-1, BATCH_SIZE).tolist()
        )
        return order


class Words:
    """Predicting the next token."""

    def examples(self, draw: random.Random) -> list[EncodedSequence]:
        ids = [_ids(draw) for _ in range(NUM_EXAMPLES)]
        return [EncodedSequence(each, (False,) * 2 + (True,) * (len(each) - 2)) for each in ids]

    def collate(self, parts: Sequence[Sequence[EncodedSequence]]) -> SequenceBatch:
        return pack([e for part in parts for e in part], 64, [len(part) for part in parts])

    def loss_sums(self, model: Model, batch: SequenceBatch, label_smoothing: Sequence[float]) -> Tensor:
        return language_model_loss_sums(model.net, batch, label_smoothing)


class Labels:
    """Giving one of three classes."""

    def examples(self, draw: random.Random) -> list[EncodedText]:
        return [EncodedText(_ids(draw), None, draw.randint(0, 2)) for _ in range(NUM_EXAMPLES)]

    def collate(self, parts: Sequence[Sequence[EncodedText]]) -> LabelBatch:
        return pack_labelled([e for part in parts for e in part], 2, [len(part) for part in parts])

    def loss_sums(self, model: Model, batch: LabelBatch, label_smoothing: Sequence[float]) -> Tensor:
        outputs = label_outputs(model, batch)
        return label_loss_sums(outputs, batch.labels, batch.num_targets, label_smoothing)


OBJECTIVES: dict[str, Words | Labels] = {"gpt2": Words(), "roberta": Labels()}


def train_alone(model_type: str, setting: Setting) -> tuple[dict[str, Tensor], list[FitEvent]]:
    """What a member has learned on a net of its own."""
    model, draws = tiny_base(model_type), lora.Draws(setting.seed)
    setting.method().attach(model, draws.init())
    lora.draw_from(model.net, draws)
    model.net.train()
    objective: Any = OBJECTIVES[model_type]
    member = setting.member(model, objective.examples(random.Random(0)), draws)
    events = list(fit(model, [member], objective, ProcessGroup()))
    return {name: p.detach() for name, p in member.trained.items()}, events


def train_together(
    model_type: str, settings: Sequence[Setting], at_once: int | None = None
) -> tuple[list[dict[str, Tensor]], list[FitEvent]]:
    """What each member of a family has learned on one net."""
    model, objective = tiny_base(model_type), OBJECTIVES[model_type]
    loss: Any = objective
    family, members = lora.Members(model.net, model.net.base_model), []
    for setting in settings:
        draws = lora.Draws(setting.seed)
        setting.method().attach(model, draws.init())
        number = family.add(draws)
        with family.alone(number):
            members.append(setting.member(model, objective.examples(random.Random(0)), draws))
    with family.together():
        model.net.train()
        events = list(fit(model, members, loss, ProcessGroup(), at_once))
    return [{name: p.detach() for name, p in member.trained.items()} for member in members], events


def assert_same(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> None:
    """Bit for bit where this machine sums the rows of a long product as those of a short one, else nearly."""
    assert list(theirs) == list(ours)
    exact = sums_alike()
    for name, tensor in theirs.items():
        if exact:
            assert torch.equal(tensor, ours[name]), name
        else:
            assert (tensor - ours[name]).norm() <= 1e-6 * tensor.norm(), name


def sums_alike() -> bool:
    """Whether every row of a product is the same number whatever other rows there are, at these nets' sizes."""
    generator = torch.Generator().manual_seed(0)
    for width, out in ((16, 16), (16, 48), (16, 24), (24, 16), (16, 29)):
        x, weight = torch.randn(200, width, generator=generator), torch.randn(out, width, generator=generator)
        for start, stop in ((0, 40), (40, 73), (73, 200)):
            if not torch.equal(F.linear(x, weight)[start:stop], F.linear(x[start:stop].clone(), weight)):
                return False
    return True


def tiny_base(model_type: str) -> Model:
    """With dropout everywhere; it takes packed rows."""
    model = tiny_model(model_type, **DROPOUT[model_type])
    take_packed_rows(model.net)
    return model


def _ids(draw: random.Random) -> tuple[int, ...]:
    return tuple(draw.randint(1, 28) for _ in range(draw.randint(4, 20)))
