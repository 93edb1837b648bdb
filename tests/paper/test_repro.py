"""Jobs as processes: order, slots, ends and stops. The commands are small, the processes real."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from lorafit.errors import InterruptedRunError
from lorafit.paper.jobs import Job
from lorafit.paper.repro import JobEvent, JobOutput, JobStarted, Outcome, log_path, run_jobs
from tests.support.run_folders import e2e_scores, write_run

NOTHING = ""
FAILS = "import sys; print('loading'); print('error: no such base\\nerror: choose another'); sys.exit(3)"
SAVES_WHEN_ASKED = """
import pathlib, signal, sys
def save(*_):
    pathlib.Path(sys.argv[1]).with_suffix('.saved').touch()
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
print('ready', flush=True)
signal.pause()
"""


def never() -> None:
    """Nobody asks to stop."""


def job(folder: Path, name: str, needs: Job | None = None) -> Job:
    """A run that is not there yet."""
    return Job("e2e_gpt2m", 0, folder / name, needs=needs)


def python(codes: dict[str, str]) -> Callable[[Sequence[Job]], list[str]]:
    """Code by the name of the first job's folder, as a command with the jobs' folders as its arguments."""
    return lambda jobs: [sys.executable, "-c", codes[jobs[0].output.name], *(str(job.output) for job in jobs)]


def follow(events: Iterator[JobEvent], seen: list[JobEvent]) -> None:
    """All that happens, also before an error."""
    for event in events:
        seen.append(event)


def outcomes(events: list[JobEvent]) -> dict[str, Outcome]:
    return {event.job.output.name: event for event in events if isinstance(event, Outcome)}


def lines(events: list[JobEvent]) -> list[str]:
    return [event.line for event in events if isinstance(event, JobOutput)]


def test_a_failure_takes_only_the_runs_that_need_it(tmp_path: Path) -> None:
    lost = job(tmp_path, "lost")
    after = job(tmp_path, "after", needs=lost)
    last = job(tmp_path, "last", needs=after)
    other = job(tmp_path, "other")
    command = python({"lost": FAILS, "other": NOTHING})
    events = list(run_jobs([lost, after, last, other], command, 1, never))
    ended = outcomes(events)
    assert {name: outcome.status for name, outcome in ended.items()} == {
        "lost": "failed",
        "after": "not tried",
        "last": "not tried",
        "other": "done",
    }
    assert (ended["lost"].exit_code, ended["lost"].error) == (3, "no such base\nchoose another")
    assert [event.job for event in events if isinstance(event, JobStarted)] == [lost, other]
    assert log_path(lost).read_text().startswith("loading\nerror: ")


def test_what_is_finished_is_not_run(tmp_path: Path) -> None:
    finished = Job("e2e_gpt2m", 3, write_run(tmp_path, "e2e_gpt2m", 3, e2e_scores(70.0)))
    after = job(tmp_path, "after", needs=finished)
    events = list(run_jobs([finished, after], python({"after": NOTHING}), 1, never))
    assert [outcome.status for outcome in outcomes(events).values()] == ["finished before", "done"]
    assert not log_path(finished).exists()


@pytest.mark.parametrize("num_slots", [1, 2])
def test_as_many_run_at_a_time_as_there_are_slots(num_slots: int, tmp_path: Path) -> None:
    counts = f"""
import pathlib, sys, time
mine = pathlib.Path(sys.argv[1])
mine.with_suffix('.started').touch()
while (started := len(list(mine.parent.glob('*.started')))) < {num_slots}:
    time.sleep(0.05)
print(started - len(list(mine.parent.glob('*.ended'))))
mine.with_suffix('.ended').touch()
"""
    jobs = [job(tmp_path, name) for name in "abc"]
    events = list(run_jobs(jobs, python(dict.fromkeys("abc", counts)), num_slots, never))
    assert max(map(int, lines(events))) == num_slots


@pytest.mark.parametrize(("num_slots", "shares"), [(1, [3]), (2, [2, 1])])
def test_jobs_that_differ_in_the_seed_share_processes(
    num_slots: int, shares: list[int], tmp_path: Path
) -> None:
    jobs = [Job("e2e_gpt2m", seed, tmp_path / f"seed-{seed}") for seed in range(3)]
    count = "import sys; print(len(sys.argv) - 1)"
    codes = dict.fromkeys(("seed-0", "seed-1", "seed-2"), count)
    events = list(run_jobs(jobs, python(codes), num_slots, never))
    assert sorted(map(int, lines(events)), reverse=True) == shares
    assert [event.job for event in events if isinstance(event, JobStarted)] == jobs
    assert {name: outcome.status for name, outcome in outcomes(events).items()} == dict.fromkeys(
        codes, "done"
    )


def test_of_several_jobs_each_has_its_lines_and_its_end(tmp_path: Path) -> None:
    jobs = [Job("e2e_gpt2m", seed, tmp_path / "e2e_gpt2m" / f"seed-{seed}") for seed in range(3)]
    write = (
        "from pathlib import Path; from tests.support.run_folders import e2e_scores, write_run\n"
        + "".join(
            f"write_run(Path({str(tmp_path)!r}), 'e2e_gpt2m', {job.seed}, e2e_scores(70.0))\n"
            for job in jobs[:2]
        )
    )
    says = "print('reading')\nprint('seed 1: step 3')\nprint('error: seed 2: the loss is nan')\nraise SystemExit(5)"
    events = list(run_jobs(jobs, python({"seed-0": write + says}), 1, never))
    said = [(event.job.seed, event.line) for event in events if isinstance(event, JobOutput)]
    assert said == [(0, "reading"), (1, "step 3"), (0, "error: seed 2: the loss is nan")]
    ended = outcomes(events)
    assert [ended[f"seed-{seed}"].status for seed in range(3)] == ["done", "done", "failed"]
    assert (ended["seed-2"].exit_code, ended["seed-2"].error) == (5, "seed 2: the loss is nan")


def test_processes_share_cores_and_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    show = "import os; print(*(os.environ.get(k) for k in ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS')))"
    jobs = [job(tmp_path, name) for name in "ab"]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    events = list(run_jobs(jobs, python({"a": show, "b": show}), 2, never))
    assert sorted(lines(events)) == ["4 3", "GPU-7 3"]
    alone = list(run_jobs(jobs[:1], python({"a": show}), 1, never))
    assert lines(alone) == ["4,GPU-7 None"]


def test_lines_are_whole(tmp_path: Path) -> None:
    slowly = (
        "import time; print('70.4', end='±', flush=True); time.sleep(0.5); print('.1'); print('end', end='')"
    )
    (a,) = jobs = [job(tmp_path, "a")]
    assert lines(list(run_jobs(jobs, python({"a": slowly}), 1, never))) == ["70.4±.1"]
    assert log_path(a).read_text().endswith("end")


@pytest.mark.parametrize("num_slots", [1, 2])
def test_asked_to_stop_they_save_and_the_rest_is_not_begun(num_slots: int, tmp_path: Path) -> None:
    jobs = [job(tmp_path, name) for name in "abc"]
    command = python(dict.fromkeys("abc", SAVES_WHEN_ASKED))
    events: list[JobEvent] = []

    def stop() -> str | None:
        return "SIGTERM" if len(lines(events)) == num_slots else None

    with pytest.raises(InterruptedRunError, match=r"SIGTERM.*run the same command again") as interrupted:
        follow(run_jobs(jobs, command, num_slots, stop), events)
    assert interrupted.value.exit_code == 75
    assert [outcome.status for outcome in outcomes(events).values()] == ["interrupted"] * num_slots
    assert len(list(tmp_path.glob("*.saved"))) == num_slots


def test_a_run_that_is_interrupted_by_itself_stops_all(tmp_path: Path) -> None:
    stops = "import sys, time; time.sleep(0.5); sys.exit(75)"
    jobs = [job(tmp_path, name) for name in "abc"]
    command = python({"a": stops, "b": SAVES_WHEN_ASKED, "c": NOTHING})
    events: list[JobEvent] = []
    with pytest.raises(InterruptedRunError, match="e2e_gpt2m seed 0 was interrupted"):
        follow(run_jobs(jobs, command, 2, never), events)
    assert {n: o.status for n, o in outcomes(events).items()} == {"a": "interrupted", "b": "interrupted"}
    assert (tmp_path / "b.saved").exists()


def test_a_killed_process_is_a_failed_run(tmp_path: Path) -> None:
    dies = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    ended = outcomes(list(run_jobs([job(tmp_path, "a")], python({"a": dies}), 1, never)))["a"]
    assert (ended.status, ended.error, ended.exit_code) == ("failed", "ended by SIGKILL", 1)


def test_who_gives_up_leaves_no_process(tmp_path: Path) -> None:
    events = run_jobs([job(tmp_path, "a")], python({"a": SAVES_WHEN_ASKED}), 1, never)
    while not isinstance(next(events), JobOutput):
        pass
    events.close()
    assert (tmp_path / "a.saved").exists()
