"""What the runs of a table cost."""

from __future__ import annotations

from pathlib import Path

from lorafit.paper.estimate import estimate
from lorafit.paper.jobs import Selection, plan_jobs
from lorafit.paper.quick import QuickInputs


def test_steps_parameters_and_hours_of_every_run(tmp_path: Path) -> None:
    selection = Selection(("RoBERTa base (LoRA)",), ("mnli", "rte"), (0, 1))
    jobs = plan_jobs("2", selection, tmp_path, inputs=QuickInputs(tmp_path / "quick").overrides)
    estimates = estimate(jobs)
    assert [(e.job.recipe, e.job.seed, e.state) for e in estimates] == [
        ("mnli_roberta_base", 0, "to run"),
        ("rte_roberta_base", 0, "to run"),
        ("mnli_roberta_base", 1, "to run"),
        ("rte_roberta_base", 1, "to run"),
    ]
    assert {e.num_steps for e in estimates} == {4}
    assert len({e.num_trained for e in estimates}) == 1
    assert [e.num_head for e in estimates[:2]] == [32 * 32 + 32 + 3 * 32 + 3, 32 * 32 + 32 + 2 * 32 + 2]
    hours = [e.hours or 0.0 for e in estimates]
    assert min(hours) > 0
    assert hours[0] == hours[2]  # one probe for both seeds, and of one method on one base
    assert [e.hours for e in estimate(jobs, probe=False)] == [None] * 4
