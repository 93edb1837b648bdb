"""Run folders become the paper's tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafit.errors import RecipeError
from lorafit.paper.cells import Cell, TableReport
from lorafit.paper.table import explain, table
from tests.support.run_folders import e2e_scores, write_run

LORA = "GPT-2 M (LoRA)"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """An empty folder of runs."""
    return tmp_path / "runs"


def cell_of(report: TableReport, label: str, column: str) -> Cell:
    line = next(line for line in report.lines if line.row.label == label)
    return next(cell for cell in line.all_cells if cell.column.name == column)


def test_seeds_are_averaged_and_compared(runs: Path) -> None:
    for seed, bleu in ((0, 69.0), (1, 70.0), (2, 71.0)):
        write_run(runs, "e2e_gpt2m", seed, e2e_scores(bleu))
    report = table("3", runs)
    bleu = cell_of(report, LORA, "BLEU")
    assert (bleu.value, bleu.std) == (70.0, 1.0)
    assert [run.seed for run in bleu.runs] == [0, 1, 2]
    assert bleu.verdict == "off"
    assert cell_of(report, LORA, "NIST").verdict == "within"  # 8.855 is 8.86, published 8.85 ± 0.02
    assert cell_of(report, LORA, "MET").verdict == "not run"  # METEOR was null
    assert cell_of(report, "GPT-2 L (LoRA)", "BLEU").verdict == "not run"
    assert "e2e_gpt2l" in report.missing


def test_glue_takes_the_median_and_shows_the_readme_s_variants(runs: Path) -> None:
    for seed, accuracy in ((0, 0.86), (1, 0.88), (2, 0.875)):
        parts = {"matched": {"accuracy": accuracy}, "mismatched": {"accuracy": 0.869}}
        write_run(runs, "mnli_roberta_base", seed, parts)
    report = table("2", runs)
    mnli = cell_of(report, "RoBERTa base (LoRA)", "MNLI")
    assert mnli.value == 87.5
    assert mnli.verdict == "within"
    assert cell_of(report, "RoBERTa base (LoRA)", "Avg.").value is None  # seven tasks are missing
    variant = next(line for line in report.variants if line.row.label == "RoBERTa base (LoRA)")
    assert [cell.value for cell in variant.cells[:2]] == [87.5, 86.9]
    assert variant.cells[1].verdict == "within"


def test_the_average_is_that_of_all_tasks(runs: Path) -> None:
    scores: dict[str, dict[str, Any]] = {
        "mnli": {"matched": {"accuracy": 0.8}},
        "cola": {"matthews": 0.5},
        "stsb": {"pearson": 0.9},
    }
    for task in ("mnli", "sst2", "mrpc", "cola", "qnli", "qqp", "rte", "stsb"):
        write_run(runs, f"{task}_roberta_base", 0, scores.get(task, {"accuracy": 0.7}))
    average = cell_of(table("2", runs), "RoBERTa base (LoRA)", "Avg.")
    assert average.value == pytest.approx((80 + 50 + 90 + 5 * 70) / 8)


def test_a_changed_recipe_is_shown_and_not_counted(runs: Path) -> None:
    data = f'data.dir="{runs}"'
    write_run(runs, "e2e_gpt2m", 0, e2e_scores(70.4), data, "train.micro_batch_size=2", "train.log_every=1")
    write_run(runs, "e2e_gpt2m", 1, e2e_scores(10.0), data, "train.epochs=1")
    report = table("3", runs)
    assert cell_of(report, LORA, "BLEU").value == 70.4
    (left_out,) = report.left_out
    assert "train.epochs: 5.0 -> 1.0" in left_out.why
    both = table("3", runs, include_changed=True)
    assert cell_of(both, LORA, "BLEU").value == pytest.approx(40.2)
    assert both.left_out == ()


def test_a_moved_mnli_adapter_is_no_change_but_a_cold_start_is(runs: Path) -> None:
    write_run(runs, "rte_roberta_base", 0, {"accuracy": 0.8}, "method.init_from=elsewhere/adapter")
    report = table("2", runs)
    assert cell_of(report, "RoBERTa base (LoRA)", "RTE").value == 80.0


def test_unfinished_and_repeated_runs_are_left_out(runs: Path) -> None:
    write_run(runs, "e2e_gpt2m", 0, None)
    write_run(runs, "e2e_gpt2m", 1, e2e_scores(70.0))
    write_run(runs, "e2e_gpt2m", 1, e2e_scores(60.0), folder="zz_again")
    report = table("3", runs)
    assert cell_of(report, LORA, "BLEU").value == 70.0
    assert [entry.why.split(",")[0] for entry in report.left_out] == [
        "not finished",
        "seed 1 is counted already",
    ]


def test_table_18_takes_rank_4_from_table_3_and_the_loss_from_the_log(runs: Path) -> None:
    write_run(runs, "e2e_gpt2m", 0, e2e_scores(70.38), loss=1.18)
    write_run(runs, "e2e_gpt2m_r64", 0, e2e_scores(69.24), loss=1.2)
    report = table("18", runs)
    assert cell_of(report, "GPT-2 M (LoRA r=4)", "BLEU").verdict == "within"
    assert cell_of(report, "GPT-2 M (LoRA r=4)", "val_loss").verdict == "within"
    assert cell_of(report, "GPT-2 M (LoRA r=64)", "val_loss").difference == 0.04


def test_explain_names_runs_hashes_seeds_and_rule(runs: Path, lorafit: Callable[..., Any]) -> None:
    run = write_run(runs, "e2e_gpt2m", 3, e2e_scores(70.38))
    explanation = explain(table("3", runs), LORA.lower(), "E2E")
    assert [cell.column.name for cell in explanation.cells] == ["BLEU", "NIST", "MET", "ROUGE-L", "CIDEr"]
    done = lorafit("table", "3", runs, "--explain", f"{LORA}/e2e")
    for part in (str(run), "3" * 64, "seed 3", "mean over seeds"):
        assert part in done.stdout.replace("\n", "")
    value = json.loads(lorafit("table", "3", runs, "--explain", f"{LORA}/e2e", "--json").stdout)
    assert (
        value["runs"][0]["recipe_hash"]
        == json.loads((run / "adapter" / "adapter.json").read_text())["provenance"]["recipe_hash"]
    )


def test_what_is_not_there_is_said_in_one_line(runs: Path) -> None:
    with pytest.raises(RecipeError, match="no table '4'"):
        table("4", runs)
    report = table("3", runs / "no such folder")
    assert len(report.missing) == 12
    with pytest.raises(RecipeError, match=r"no row 'GPT-2 M \(Lora\)x'; did you mean 'GPT-2 M \(LoRA\)'"):
        explain(report, "GPT-2 M (Lora)x", "e2e")
    with pytest.raises(RecipeError, match="no task 'dart'"):
        explain(report, "GPT-2 M (LoRA)", "dart")
