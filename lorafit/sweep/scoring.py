"""What members on one base are asked together: the validation of an epoch, and the predictions of their best adapters.

Each gives the answers that it gives alone. Whatever cannot be asked together is left to the run itself.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lorafit.errors import DivergedError
from lorafit.lora import Members, lora_layers
from lorafit.models.placement import free_memory, is_out_of_memory
from lorafit.objectives import Validation
from lorafit.run.events import Progress
from lorafit.run.trainer import Trainer
from lorafit.sweep.room import copies_with_room


@dataclass(frozen=True)
class Scoring:
    """The members of a family on one net, by number, and their trainers."""

    family: Members
    trainers: Sequence[Trainer]

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

        for members in self.parts(numbers, at_once):
            if self.trainers[members[0]].session.base.valid:
                _in_halves(members, validate)
        return found

    def parts(self, numbers: Sequence[int], at_once: int) -> Iterator[Sequence[int]]:
        """Members that are asked the same, `at_once` at most."""
        left = list(numbers)
        while left:
            first = self._question(left[0])
            alike = [i for i in left if self._question(i) == first]
            left = [i for i in left if i not in alike]
            for start in range(0, len(alike), at_once):
                yield alike[start : start + at_once]

    def predict(self, members: Sequence[int]) -> None:
        """Fill the files of predictions that the members read when they finish, as far as there is memory.

        Raises InterruptedRunError when asked to stop; what is predicted by then stays.
        """
        base = self.trainers[members[0]].session.base
        if not self.trainers[members[0]].evaluator.has_rows or not base.objective.can_predict_members(
            base.model
        ):
            return
        with self.family.alone(members[0]):
            num_bytes = sum(layer.weight.nbytes for layer in lora_layers(base.model.net))  # merged copies
        at_once = copies_with_room(num_bytes, base.model.device)
        for start in range(0, len(members), at_once):
            with contextlib.suppress(DivergedError):  # whose it is, each finds out alone
                _in_halves(members[start : start + at_once], self._predict)

    def _predict(self, members: Sequence[int]) -> None:
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
        for start, end in itertools.pairwise(sorted({*done, len(batches)})):
            going = [place for place, count in enumerate(done) if count <= start]
            if len(going) < 2:
                continue
            num_done = sum(map(len, batches[:start]))
            with self.family.together([members[place] for place in going]):
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


def _in_halves(members: Sequence[int], ask: Callable[[Sequence[int]], None]) -> None:
    """Ask several at once and, where memory runs out, half of them at a time. One alone is not asked."""
    if len(members) < 2:
        return
    try:
        ask(members)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        return
    free_memory()
    middle = len(members) // 2
    _in_halves(members[:middle], ask)
    _in_halves(members[middle:], ask)
