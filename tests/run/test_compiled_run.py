"""A run with compiled blocks is the run without; cut off, it goes on bit for bit, and never without."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lorafit.errors import InterruptedRunError, RecipeError
from lorafit.training import ProcessGroup, compiled
from tests.run.conftest import Runner, assert_equal_runs
from tests.support.stops import StopAt

pytestmark = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor:UserWarning"
)  # torch hides it itself

RESULTS = ("step", "validation", "score", "finished")


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")


def test_it_is_the_run_without(runner: Callable[..., Runner]) -> None:
    plain, whole, cut = runner("plain"), *(runner(name, train__compile="true") for name in ("whole", "cut"))
    plain()
    whole()
    for ours, theirs in zip(whole.events("step"), plain.events("step"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], 1e-5)
        assert {**ours, "loss": 0, "grad_norm": 0} == {**theirs, "loss": 0, "grad_norm": 0}
    with pytest.raises(InterruptedRunError):
        cut(group=ProcessGroup(StopAt(9)))
    with pytest.raises(RecipeError, match=r"train.compile"):
        cut(train__compile="false")
    cut()
    assert_equal_runs(cut, whole, RESULTS)
    assert "compile = true" in (cut.folder / "recipe.toml").read_text()
    torch.compiler.reset()
