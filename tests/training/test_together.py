"""Members that are trained together are the runs that they would be alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import RobertaModel

from lorafit.training import Failed, FewerAtOnce, MemoryRanOut, Stepped
from tests.support.families import BATCH_SIZE, DROPOUT, Setting, assert_same, train_alone, train_together

FAMILY = (
    Setting(),
    Setting(1, 1e-3, 2, 8.0, 0.0, "paper-gpt2", label_smoothing=0.1),
    Setting(2, 1e-2, 8, 4.0, 0.3, "gaussian", weight_decay=0.1, num_steps=11, targets=("query", "value")),
)


@pytest.mark.parametrize("model_type", DROPOUT)
def test_each_member_is_the_run_that_it_would_be_alone(model_type: str) -> None:
    together, events = train_together(model_type, FAMILY)
    for number, setting in enumerate(FAMILY):
        alone, own = train_alone(model_type, setting)
        assert_same(alone, together[number])
        of_member = [
            replace(e, member=0, seconds=0) for e in events if isinstance(e, Stepped) if e.member == number
        ]
        expected = [replace(e, seconds=0) for e in own if isinstance(e, Stepped)]
        assert of_member == expected, "loss, rate, norm of the gradient, targets and tokens of every step"


@pytest.mark.parametrize("at_once", [1, 2])
def test_members_that_wait_for_others_are_the_same(at_once: int) -> None:
    together, _ = train_together("gpt2", FAMILY)
    in_turns, _ = train_together("gpt2", FAMILY, at_once)
    for theirs, ours in zip(together, in_turns, strict=True):
        assert_same(theirs, ours)


def test_a_member_that_diverges_stops_alone() -> None:
    wild = Setting(3, learning_rate=1e30)
    with_it, events = train_together("roberta", (FAMILY[0], wild, FAMILY[1]))
    [failed] = [event for event in events if isinstance(event, Failed)]
    assert failed.member == 1
    assert "the loss is" in failed.error.message
    assert all(torch.isfinite(tensor).all() for tensor in with_it[1].values())
    without, _ = train_together("roberta", FAMILY[:2])
    assert_same(without[0], with_it[0])
    assert_same(without[1], with_it[2])


def test_out_of_memory_takes_fewer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result stays the same."""
    whole, _ = train_together("roberta", FAMILY)
    read = RobertaModel.forward

    def forward(self: RobertaModel, input_ids: torch.Tensor, **inputs: object) -> object:
        if input_ids.numel() > 2 * 20 * BATCH_SIZE:
            raise torch.OutOfMemoryError("as on a small GPU")
        return read(self, input_ids=input_ids, **inputs)

    monkeypatch.setattr(RobertaModel, "forward", forward)
    fewer, events = train_together("roberta", FAMILY)
    assert [e.at_once for e in events if isinstance(e, FewerAtOnce)] == [1]
    assert not [e for e in events if isinstance(e, MemoryRanOut)]
    for theirs, ours in zip(whole, fewer, strict=True):
        assert_same(theirs, ours)
