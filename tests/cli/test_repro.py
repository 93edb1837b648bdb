"""`lorafit repro`: a table from nothing, what fails, and what a signal interrupts."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support import warm

QUICK = ("repro", "table3", "--quick", "--set", "eval.metrics=['bleu', 'rouge_l']")  # without Java
LORA = ("--rows", "GPT-2 M (LoRA)")
TWO = ("--rows", "GPT-2 M (LoRA),GPT-2 M (FT)")
LONGER = ("--set", "train.max_steps=60", "--set", "train.epochs=20")


@pytest.fixture(autouse=True)
def _warm_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs, too, are processes that need not import anything first."""
    monkeypatch.setattr(sys, "executable", warm.interpreter())


def test_the_plan_the_runs_and_the_table(tmp_path: Path, cli) -> None:
    options = (*QUICK, *LORA, "--output", tmp_path)
    (line,) = json.loads(cli(*options, "--json", "--dry-run").stdout)
    assert (line["recipe"], line["state"], line["steps"]) == ("e2e_gpt2m", "to run", 4)
    assert line["trainable"] == 2 * 2 * 2 * 32 * 4  # two blocks, query and value, A and B, width 32, rank 4
    assert line["hours"] > 0
    assert "1 of 1 runs to make, 4 optimizer steps" in cli(*options, "--dry-run").stdout
    first = cli(*options, "--verbose")
    assert "run 1/1: e2e_gpt2m seed 0" in first.stdout
    assert "e2e_gpt2m seed 0: step 4/4" in first.stdout
    assert "1 done" in first.stdout
    again = cli(*options, "--json")
    assert "1 finished before" in again.stderr
    report = json.loads(again.stdout)
    ours = [cell for cell in report["cells"] if cell["row"] == "GPT-2 M (LoRA)"]
    assert {cell["column"] for cell in ours if cell["ours"] is not None} == {"BLEU", "ROUGE-L"}
    assert len(report["cells"]) == 12 * 5
    assert (
        json.loads(cli("table", "3", tmp_path, "--json").stdout)["left_out"] != []
    )  # not the paper's recipe
    rows = tmp_path / "quick" / "data" / "e2e" / "train.txt"
    rows.write_text(rows.read_text().replace("Zizzi", "Cotto"))
    assert json.loads(cli(*options, "--json", "--dry-run").stdout)[0]["state"] == "changed"
    changed = cli(*options, "--json", code=2)
    assert f"holds a finished run of other inputs (changed since: data.train ({rows}))" in changed.stderr
    assert "delete it, or use --show-anyway (takes it as it is)" in changed.stderr
    assert {cell["ours"] for cell in json.loads(changed.stdout)["cells"]} == {None}
    taken = json.loads(cli(*options, "--json", "--show-anyway").stdout)
    assert taken["cells"] == report["cells"]


def test_a_failed_run_says_why_and_gives_its_exit_code(tmp_path: Path, cli) -> None:
    done = cli(*QUICK, *LORA, "--output", tmp_path, "--set", "data.train=/nowhere.txt", code=3)
    log = tmp_path / "e2e_gpt2m" / "seed-0.log.txt"
    assert "e2e_gpt2m seed 0: failed: /nowhere.txt: no such file" in done.stdout
    assert f"(log: {log})" in done.stdout
    assert "/nowhere.txt" in log.read_text()
    assert "1 failed" in done.stdout


@pytest.mark.parametrize(("jobs", "number"), [(1, signal.SIGINT), (2, signal.SIGUSR1)])
def test_a_signal_saves_all_runs_and_the_same_command_resumes_them(
    jobs: int, number: signal.Signals, tmp_path: Path, cli
) -> None:
    arguments = [*QUICK, *TWO, *LONGER, "--jobs", str(jobs), "--output", str(tmp_path), "--verbose"]
    reading, writing = os.pipe()
    with (
        Path(os.devnull).open() as nothing,
        os.fdopen(reading) as out,
        tempfile.TemporaryFile("w+") as err,
        warm.start(*arguments, stdin=nothing, stdout=writing, stderr=err) as process,
    ):
        os.close(writing)
        waiting = {"e2e_gpt2m_ft", "e2e_gpt2m"} if jobs == 2 else {"e2e_gpt2m_ft"}
        for line in out:
            waiting -= {name for name in waiting if f"{name} seed 0: step " in line}
            if not waiting:
                process.send_signal(number)
                break
        rest = out.read()
        code = process.wait()
        err.seek(0)
        errors = err.read()
    assert code == 75, rest + errors
    assert errors == f"error: interrupted ({number.name}); run the same command again to continue\n"
    assert rest.count(": interrupted\n") == jobs
    runs = [tmp_path / name / "seed-0" for name in ("e2e_gpt2m_ft", "e2e_gpt2m")]
    assert all(list((run / "checkpoints").iterdir()) for run in runs[:jobs])
    assert runs[1].exists() == (jobs == 2)
    assert "2 done" in cli(*arguments, "--jobs", "2").stdout
    for run in runs:
        events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [event["step"] for event in events if event["event"] == "step"] == list(range(1, 61))
