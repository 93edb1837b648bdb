"""Decoding goes on where it was cut off, if it is the same decoding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lorafit.errors import InterruptedRunError
from lorafit.run.decode_cache import Kept
from lorafit.run.events import Event, Progress
from lorafit.training import World
from tests.run.conftest import Runner, assert_equal_runs

BATCHES = [[2, 0], [1], [3, 4]]


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "decoding" / "test.jsonl", ["weights", 1])
    assert kept.read(BATCHES) == []
    kept.add([(2, "two"), (0, "nought\n")])
    kept.add([(1, "one")])
    kept.path.write_text(kept.path.read_text() + '{"key": "' + kept.key)  # killed while writing
    again = Kept(kept.path, ["weights", 1])
    assert again.read(BATCHES) == [[(2, "two"), (0, "nought\n")], [(1, "one")]]
    again.add([(3, "three"), (4, "four")])
    assert len(again.read(BATCHES)) == 3
    again.drop()
    assert not kept.path.exists()


def test_nothing_is_taken_from_another_decoding(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "test.jsonl", ["weights", 1])
    kept.add([(2, "two"), (0, "nought")])
    assert kept.read([[2], [0]]) == []
    kept.add([(2, "two"), (0, "nought")])
    assert Kept(kept.path, ["weights", 2]).read(BATCHES) == []
    assert kept.read(BATCHES) == []


def test_a_run_that_was_cut_off_while_decoding_decodes_the_rest(runner: Callable[..., Runner]) -> None:
    whole, cut = runner("whole", eval__batch_size=1), runner("cut", eval__batch_size=1)
    whole()
    seen: list[int] = []

    def note(event: Event) -> None:
        if isinstance(event, Progress):
            seen.append(event.done)

    cut.note = note  # type: ignore[method-assign]
    with pytest.raises(InterruptedRunError):
        cut(world=World(lambda _: "a test" if len(seen) == 2 else None))
    assert seen == [1, 2]
    cut()
    assert seen == [1, 2, 3]
    assert_equal_runs(cut, whole)
    assert not (cut.folder / "decoding").exists()
