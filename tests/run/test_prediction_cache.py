"""Predicting goes on where it was cut off, if it is the same predicting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lorafit.errors import InterruptedRunError
from lorafit.objectives import Prediction
from lorafit.run.events import Event, Progress
from lorafit.run.files.prediction_cache import PredictionCache
from lorafit.training import ProcessGroup
from tests.run.conftest import Runner, assert_equal_runs
from tests.support.stops import StopWhen

BATCHES = [[2, 0], [1], [3, 4]]


FIRST = [Prediction(2, "two"), Prediction(0, "nought\n")]
SECOND = [Prediction(1, "one")]


def test_what_is_done_is_there_again(tmp_path: Path) -> None:
    cache = PredictionCache(tmp_path / "predicting" / "test.jsonl", {"weights": 1})
    assert cache.read(BATCHES) == []
    cache.add(FIRST)
    cache.add(SECOND)
    cache.path.write_text(cache.path.read_text() + '{"key": "' + cache.key)  # killed while writing
    again = PredictionCache(cache.path, {"weights": 1})
    assert again.read(BATCHES) == [FIRST, SECOND]
    again.add([Prediction(3, 0.1), Prediction(4, 1 / 3)])
    assert again.read(BATCHES)[2] == [Prediction(3, 0.1), Prediction(4, 1 / 3)]
    again.drop()
    assert not cache.path.exists()


def test_results_of_another_key_or_other_batches_are_dropped(tmp_path: Path) -> None:
    cache = PredictionCache(tmp_path / "test.jsonl", {"weights": 1})
    cache.add(FIRST)
    assert cache.read([[2], [0]]) == []
    cache.add(FIRST)
    assert PredictionCache(cache.path, {"weights": 2}).read(BATCHES) == []
    assert cache.read(BATCHES) == []


def test_a_run_that_was_cut_off_while_decoding_decodes_the_rest(runner: Callable[..., Runner]) -> None:
    whole, cut = runner("whole", eval__batch_size=1), runner("cut", eval__batch_size=1)
    whole()
    seen: list[int] = []

    def note(event: Event) -> None:
        if isinstance(event, Progress):
            seen.append(event.done)

    cut.note = note  # type: ignore[method-assign]
    with pytest.raises(InterruptedRunError):
        cut(group=ProcessGroup(StopWhen(lambda: "a test" if len(seen) == 2 else None)))
    assert seen == [1, 2]
    cut()
    assert seen == [1, 2, 3]
    assert_equal_runs(cut, whole)
    assert not (cut.folder / "predicting").exists()
