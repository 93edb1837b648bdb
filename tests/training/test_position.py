"""The loop goes on from any position, and makes do with the memory there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from lorafit.errors import OutOfMemoryError
from lorafit.training import (
    AdamW,
    EpochEnded,
    FitEvent,
    Member,
    MemoryRanOut,
    Position,
    ProcessGroup,
    Schedule,
    Stepped,
    Steps,
    fit,
)

NUM_EXAMPLES, BATCH = 10, 4
X = torch.randn(NUM_EXAMPLES, 3, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([1.0, -2.0, 0.5]) + 0.1


@dataclass(frozen=True)
class Rows:
    """A few rows of X and Y, so many of each member."""

    x: Tensor
    y: Tensor
    counts: tuple[int, ...]

    @property
    def num_targets(self) -> tuple[int, ...]:
        return self.counts

    @property
    def target_weights(self) -> tuple[int, ...]:
        return self.counts

    @property
    def num_tokens(self) -> tuple[int, ...]:
        return self.counts

    @property
    def num_places(self) -> int:
        return len(self.y)


def order(epoch: int) -> list[list[int]]:
    """A permutation in batches of BATCH, the last one short."""
    places = torch.randperm(NUM_EXAMPLES, generator=torch.Generator().manual_seed(epoch)).tolist()
    return [places[i : i + BATCH] for i in range(0, NUM_EXAMPLES, BATCH)]


class Regression:
    """A linear regression on its way; memory is enough for `room` rows at once."""

    def __init__(self, total: int, position: Position | None = None, room: int = NUM_EXAMPLES) -> None:
        torch.manual_seed(0)
        self.net = nn.Linear(3, 1)
        self.room, self.seen = room, list[int]()
        self.position = position or Position()
        self.optimizer = AdamW(self.net.parameters(), lr=0.1)
        self.steps = Steps(order, range(NUM_EXAMPLES), total)

    def collate(self, parts: Sequence[Sequence[int]]) -> Rows:
        """Those rows."""
        rows = [i for part in parts for i in part]
        return Rows(X[rows], Y[rows], tuple(map(len, parts)))

    def loss_sums(self, net: nn.Linear, batch: Rows, label_smoothing: Sequence[float]) -> Tensor:
        """The squared error, if there is room for it."""
        self.seen.append(len(batch.y))
        if len(batch.y) > self.room:
            raise torch.OutOfMemoryError("no room")
        assert label_smoothing == [0.0]
        return ((net(batch.x).squeeze(1) - batch.y) ** 2).sum()[None]

    def events(self) -> Iterator[FitEvent]:
        """Train."""
        member = Member(
            dict(self.net.named_parameters()), self.optimizer, Schedule(20, 0, 0.1), self.steps, self.position
        )
        return fit(self.net, [member], self, ProcessGroup())

    def losses(self) -> list[float]:
        """Train to the end."""
        return [event.loss for event in self.events() if isinstance(event, Stepped)]


def _plain(events: Iterator[object]) -> list[object]:
    return [replace(event, seconds=0.0) if isinstance(event, Stepped) else event for event in events]


@pytest.mark.parametrize("cut", range(1, 12))
def test_going_on_from_any_event_is_going_on(cut: int) -> None:
    whole = _plain(Regression(8).events())
    first = Regression(8)
    events = first.events()
    before = [next(events) for _ in range(cut)]
    second = Regression(8, position=replace(first.position))
    second.net.load_state_dict(first.net.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    after = _plain(second.events())
    if isinstance(before[-1], EpochEnded):  # its handling was cut off, so it is said again
        before.pop()
    assert _plain(iter(before)) + after == whole


def test_epochs_end_where_they_should() -> None:
    ends = [event for event in Regression(8).events() if isinstance(event, EpochEnded)]
    assert ends == [EpochEnded(1, 3), EpochEnded(2, 6), EpochEnded(3, 8)]


def test_when_memory_runs_out_the_micro_batch_is_halved_and_the_result_stays() -> None:
    enough = Regression(6).losses()
    tight = Regression(6, Position(oom_retries=3), room=1)
    events = list(tight.events())
    assert [e for e in events if isinstance(e, MemoryRanOut)] == [MemoryRanOut(1, 2), MemoryRanOut(1, 1)]
    assert [e.loss for e in events if isinstance(e, Stepped)] == pytest.approx(enough, rel=1e-5)
    assert tight.seen[:2] == [4, 2]
    assert set(tight.seen[2:]) == {1}
    assert tight.position.oom_retries == 1


def test_not_more_often_than_allowed_and_not_below_one() -> None:
    with pytest.raises(OutOfMemoryError, match=r"micro-batches of 2.*micro_batch_size"):
        Regression(6, Position(oom_retries=1), room=1).losses()
    with pytest.raises(OutOfMemoryError, match="micro-batches of 1"):
        Regression(6, Position(oom_retries=9), room=0).losses()


class TwoLines:
    """Two regressions on the same rows, each a member with a net of its own: they share every batch."""

    def collate(self, parts: Sequence[Sequence[int]]) -> Rows:
        rows = [i for part in parts for i in part]
        return Rows(X[rows], Y[rows], tuple(map(len, parts)))

    def loss_sums(self, nets: nn.ModuleList, batch: Rows, label_smoothing: Sequence[float]) -> Tensor:
        active = [net for net in nets if isinstance(net, nn.Linear) and net.weight.requires_grad]
        assert len(active) == len(label_smoothing) == len(batch.counts)
        parts = zip(active, batch.x.split(batch.counts), batch.y.split(batch.counts), strict=True)
        return torch.stack([((net(x).squeeze(1) - y) ** 2).sum() for net, x, y in parts])


def _member(net: nn.Linear, total: int, learning_rate: float, size: int | None) -> Member[int]:
    optimizer = AdamW(net.parameters(), lr=learning_rate)
    steps = Steps(order, range(NUM_EXAMPLES), total)
    position = Position(micro_batch_size=size)
    schedule = Schedule(20, 0, learning_rate)
    return Member(dict(net.named_parameters()), optimizer, schedule, steps, position, max_grad_norm=1.0)


def test_members_together_are_the_members_alone() -> None:
    """Different rates, lengths and micro-batches: each member ends where it ends alone, after the same events."""
    settings = [(8, 0.1, None), (8, 0.03, 3)]

    def nets() -> list[nn.Linear]:
        torch.manual_seed(0)
        return [nn.Linear(3, 1), nn.Linear(3, 1)]

    together, alone = nets(), nets()
    members = [_member(net, *setting) for net, setting in zip(together, settings, strict=True)]
    events = list(fit(nn.ModuleList(together), members, TwoLines(), ProcessGroup()))
    for number, (net, setting) in enumerate(zip(alone, settings, strict=True)):
        mine = [replace(e, member=0) for e in events if e.member == number]
        single = list(fit(nn.ModuleList([net]), [_member(net, *setting)], TwoLines(), ProcessGroup()))
        assert [type(e) for e in mine] == [type(e) for e in single]
        losses = [[e.loss for e in each if isinstance(e, Stepped)] for each in (mine, single)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
        torch.testing.assert_close(net.weight, together[number].weight, rtol=1e-6, atol=1e-7)
