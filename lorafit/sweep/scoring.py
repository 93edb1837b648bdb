"""What members on one base are asked together: the validation of an epoch, and the predictions of their best adapters.

Each gives the answers that it gives alone. Whatever cannot be asked together is left to the run itself.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from lorafit.errors import DivergedError
from lorafit.lora import Members
from lorafit.models.placement import free_memory, is_out_of_memory
from lorafit.objectives import Validation
from lorafit.run.events import Note, Progress
from lorafit.run.trainer import Trainer
from lorafit.sweep.room import room_for

_MEASURED = 2  # members by which it is measured how many have room


@dataclass(frozen=True)
class Scoring:
    """The members of a family on one net, by number, and their trainers.

    `rooms`: how many are asked at once, as far as it is known, by what is asked and the first member that is asked the
    same.
    """

    family: Members
    trainers: Sequence[Trainer]
    sharing: int  # processes that share the memory of the device
    rooms: dict[tuple[str, int], int] = field(default_factory=dict)

    def validations(self, numbers: Sequence[int], at_once: int) -> dict[int, Validation]:
        """Those of the members that were validated together, `at_once` at most.

        Raises InterruptedRunError when asked to stop.
        """
        found: dict[int, Validation] = {}

        def validate(members: Sequence[int]) -> None:
            session = self.trainers[members[0]].session
            base, count = session.base, len(members)
            with self.family.together(members):
                several = base.objective.validate_members(
                    base.model, base.valid_rows, base.valid, session.group, count
                )
            found.update(zip(members, several, strict=True))

        for members in self.alike(numbers):
            if self.trainers[members[0]].session.base.valid:
                self._ask("validation", members, at_once, validate)
        return found

    def alike(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Members that are asked the same."""
        left = list(numbers)
        while left:
            first = self._question(left[0])
            yield [i for i in left if self._question(i) == first]
            left = [i for i in left if self._question(i) != first]

    def predict(self, members: Sequence[int], at_once: int) -> None:
        """Fill the files of predictions that the members, which are asked the same, read when they finish.

        Raises InterruptedRunError when asked to stop; what is predicted by then stays.
        """
        trainer = self.trainers[members[0]]
        base, what = trainer.session.base, "prediction"
        if not trainer.evaluator.has_rows or not base.objective.can_predict_members(base.model):
            return
        with contextlib.suppress(DivergedError):  # whose it is, each finds out alone
            # Measured by the first batch, whose texts are longest.
            if self._place(what, members) not in self.rooms:
                self._ask(what, members[:_MEASURED], at_once, partial(self._predict, num_batches=1))
            self._ask(what, members, at_once, self._predict)

    def _ask(
        self, what: str, members: Sequence[int], at_once: int, ask: Callable[[Sequence[int]], None]
    ) -> None:
        """Ask members, as many at once as memory has room for, which the first two show; where it runs out all the
        same, half as many. One that is left over asks for itself."""
        place, left = self._place(what, members), list(members)
        while len(some := left[: min(at_once, self.rooms.get(place, _MEASURED))]) > 1:
            try:
                if place in self.rooms:
                    ask(some)
                else:
                    device = self.trainers[some[0]].session.base.model.device
                    found = room_for(partial(ask, some), device, len(some), sharing=self.sharing)
                    self.rooms[place] = found or sys.maxsize
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.rooms[place] = len(some) // 2
                said = f"out of memory; from now on {len(some) // 2} at a time are asked for their {what}"
                self.trainers[some[0]].report(Note(said))
                free_memory()
            else:
                left = left[len(some) :]

    def _place(self, what: str, members: Sequence[int]) -> tuple[str, int]:
        question = self._question(members[0])
        return what, next(i for i in range(len(self.trainers)) if self._question(i) == question)

    def _predict(self, members: Sequence[int], num_batches: int | None = None) -> None:
        """All batches, or so many that none of the members has predicted."""
        for i in members:
            with self.family.alone(i):
                self.trainers[i].restore_best()
        session, evaluators = self.trainers[members[0]].session, [self.trainers[i].evaluator for i in members]
        model, objective, rows = session.base.model, session.base.objective, evaluators[0].rows
        objective.prepare(model)
        batches = objective.prediction_batches(model, rows)
        caches = [each.cache("adapter") for each in evaluators]
        done = [len(cache.read(batches)) for cache in caches]
        total = sum(map(len, batches))
        last = len(batches) if num_batches is None else min(max(done) + num_batches, len(batches))
        for start, end in itertools.pairwise(sorted({*done, last})):
            going = [place for place, count in enumerate(done) if count <= start]
            num_done, numbers = sum(map(len, batches[:start])), [members[place] for place in going]
            with self.family.together(numbers) if len(numbers) > 1 else self.family.alone(*numbers):
                for by_member in objective.predict_members(
                    model, rows, batches[start:end], session.group, len(going)
                ):
                    num_done += len(by_member[0])
                    for place, predictions in zip(going, by_member, strict=True):
                        caches[place].add(predictions)
                        self.trainers[members[place]].report(
                            Progress(objective.progress_name, num_done, total)
                        )

    def _question(self, number: int) -> object:
        trainer = self.trainers[number]
        return trainer.session.base.objective, trainer.evaluator.split
