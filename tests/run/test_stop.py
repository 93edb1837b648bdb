"""Being asked to stop, by signals and by time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from lorafit.errors import InterruptedRunError
from lorafit.run.events import Event
from lorafit.run.stop import SIGNALS, StopRequest
from lorafit.training import ProcessGroup
from tests.conftest import ROOT
from tests.run.conftest import Runner, assert_equal_runs


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_taken_and_handlers_are_given_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop() is None
        signal.raise_signal(number)
        assert stop() == number.name
    assert signal.getsignal(number) == before


def test_a_second_interrupt_ends_at_once() -> None:
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop() == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("when", ["Stepped", "Validated", "Progress"])
def test_a_signal_while_training_validating_or_decoding(runner: Callable[..., Runner], when: str) -> None:
    whole, cut = runner("whole"), runner("cut", eval__batch_size=1)
    whole()
    sent: list[Event] = []

    def signal_once(event: Event) -> None:
        if type(event).__name__ == when and not sent:
            sent.append(event)
            os.kill(os.getpid(), signal.SIGTERM)

    cut.note = signal_once  # type: ignore[method-assign]
    with StopRequest() as stop, pytest.raises(InterruptedRunError, match="SIGTERM"):
        cut(group=ProcessGroup(stop))
    cut()
    assert_equal_runs(cut, whole, ("step", "validation", "score"))


def test_time_is_up_early_enough_to_save(monkeypatch: pytest.MonkeyPatch) -> None:
    with StopRequest(time_limit_s=100.0) as stop:
        stop.save_took(10.0)
        assert stop() is None
        stop.save_took(60.0)
        assert stop() == "the time limit"
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 50))
    with StopRequest(time_limit_s=100.0) as stop:
        stop.save_took(10.0)
        assert stop() is None
        stop.save_took(30.0)
        assert stop() == "the time limit"


def test_a_slow_step_is_reckoned_with() -> None:
    with StopRequest(time_limit_s=3.0) as stop:
        assert stop() is None
        time.sleep(0.6)
        assert stop() == "the time limit"  # 2.4 s are left, and a step and the end take 2.6


def test_the_age_of_a_process() -> None:
    code = "import time; from lorafit.run.stop import process_age_s; time.sleep(0.5); print(process_age_s())"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0.5 <= float(done.stdout) <= time.monotonic() - began + 0.1
