"""The pages of several runs, of a sweep, and of a table of the paper."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from lorafit.errors import NotFoundError
from lorafit.metrics.comparison import compare_predictions, read_predictions
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.significance import holm
from lorafit.page.members import find_members
from lorafit.page.several import several_page, write_several
from lorafit.page.table import write_table_page
from lorafit.paper.table import table
from tests.page.conftest import Opened
from tests.support.run_folders import e2e_scores, write_run

Open = Callable[..., Opened]
RATES = (1e-4, 1e-3, 1e-2)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Six runs: three learning rates, two ranks; the greater the rate, the more predictions are right."""
    for i, rate in enumerate(RATES):
        for rank in (1, 4):
            name = f"rate-{rate:g}-rank-{rank}"
            scores = e2e_scores(60 + i + rank)
            run = write_run(
                tmp_path,
                "e2e_gpt2m",
                110,
                scores,
                f"train.learning_rate={rate}",
                f"method.r={rank}",
                folder=name,
                loss=3.0 - i / 10 - rank / 100,
            )
            events = [
                {"event": "step", "step": s, "loss": 4.0 / s + rate, "learning_rate": rate}
                for s in range(1, 9)
            ]
            validations = [{"event": "validation", "epoch": 1, "step": 8, "loss": 3.0 - i / 10, "best": True}]
            (run / "metrics.jsonl").write_text("".join(json.dumps(e) + "\n" for e in [*events, *validations]))
            (run / "scores.json").write_text(
                json.dumps({"split": "test", "scores": scores, "signatures": {}})
            )
            (run / "predictions").mkdir()
            lines = [
                {
                    "input": f"place {n}",
                    "references": [f"the place {n} serves food by the river"],
                    "prediction": f"the place {n} serves food by the river"
                    if n % 4 <= i
                    else f"it {rank} is",
                }
                for n in range(40)
            ]
            (run / "predictions" / "test.jsonl").write_text("".join(json.dumps(e) + "\n" for e in lines))
    return tmp_path


@pytest.mark.parametrize("width", [375, 1440])
def test_runs_are_compared(runs: Path, tmp_path: Path, opened: Open, width: int) -> None:
    path = write_several([runs], tmp_path / "page.html")
    page = opened(path, width, "dark" if width == 375 else "light")
    assert page.said == []
    assert page.asked == [path.as_uri()]
    assert page.js("document.documentElement.scrollWidth") == width
    found = Axe().run(page.page)
    assert found.violations_count == 0, found.generate_report()
    rows = page.page.locator("#runs tbody tr")
    assert rows.count() == 6
    assert "rate-0.01-rank-4" in page.page.inner_text("#runs tr.headline"), "the best one"
    page.page.click("#runs th:has-text('bleu') button")
    bleu = [
        float(text) for text in page.page.locator("#runs tbody td[data-value]:nth-child(6)").all_inner_texts()
    ]
    assert bleu == sorted(bleu)
    assert len(bleu) == 6


def test_a_score_is_drawn_against_the_learning_rate_with_a_line_for_each_rank(
    runs: Path, tmp_path: Path, opened: Open
) -> None:
    page = opened(write_several([runs], tmp_path / "page.html"))
    drawn = page.js("""[...document.querySelector("#sweep .chart").querySelectorAll(".area .series")].map(path => {
        const d = path.ownerSVGElement.dataset
        return [path.dataset.name, path.getAttribute("d").match(/[\\d.-]+ [\\d.-]+/g).map(pair => {
            const [x, y] = pair.split(" ").map(each => each / 1000)
            return [d.xLow * (d.xHigh / d.xLow) ** x, +d.yLow + (1 - y) * (d.yHigh - d.yLow)]
        })]
    })""")
    assert [name for name, _ in drawn] == ["r 1", "r 4"]
    for (_, line), rank in zip(drawn, (1, 4), strict=True):
        assert [x for x, _ in line] == pytest.approx(list(RATES), rel=1e-4)
        assert [y for _, y in line] == pytest.approx([60 + i + rank for i in range(3)], abs=1e-3)


def test_runs_of_another_task_do_not_spoil_what_is_compared(runs: Path) -> None:
    """The score is that of the most runs, and a chart has the runs alone that differ in its axis."""
    alone = re.findall('<path class="series[^"]*" data-name="([^"]*)"', several_page(find_members([runs])))
    write_run(runs, "cola_roberta_base", 0, {"matthews": 0.5}, folder="another")
    page = several_page(find_members([runs / "another", runs]))
    assert "Best bleu: 66.00" in page
    assert "of the 6 runs that have it" in page
    assert re.findall('<path class="series[^"]*" data-name="([^"]*)"', page)[:4] == alone[:4]
    assert "corrected for 5 comparisons" in page


def test_differences_are_those_of_compare(runs: Path, tmp_path: Path, opened: Open) -> None:
    text = opened(write_several([runs], tmp_path / "page.html")).page.inner_text("#differences")
    best, other = (runs / f"rate-{rate}-rank-4" / "seed-110" for rate in ("0.01", "0.0001"))
    a, b = (read_predictions(run / "predictions" / "test.jsonl") for run in (best, other))
    bleu = compare_predictions(a, b, SCORERS["e2e-metrics"]).differences[0]
    assert bleu.metric == "bleu"
    assert f"{bleu.difference:+.4g}" in text
    assert f"{bleu.low:+.4g} to {bleu.high:+.4g}" in text
    assert f"{min(1, 5 * bleu.p_value):.4f}" in text, "corrected for five comparisons"
    assert "differs" in text


def test_holm_corrects_as_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_sweep_is_what_its_file_says(runs: Path, tmp_path: Path, opened: Open) -> None:
    entries = [
        {
            "overrides": {"train.learning_rate": rate, "method.r": rank},
            "seed": 110,
            "run": f"rate-{rate:g}-rank-{rank}/seed-110",
            "validation": 2.0,
            "scores": {"bleu": 61.0 + rank},
            "state": "finished",
        }
        for rate in RATES
        for rank in (1, 4)
    ]
    lost = {"overrides": {"train.learning_rate": 0.1, "method.r": 4}, "run": "gone", "state": "diverged"}
    (runs / "sweep.json").write_text(json.dumps({"members": [*entries, lost], "best": 2}))
    members = find_members([runs])
    assert members.is_sweep
    assert members.best is not None
    assert members.best.settings["train.learning_rate"] == 1e-3
    assert [member.state for member in members.members] == ["finished"] * 6 + ["diverged"]
    text = opened(write_several([runs], tmp_path / "page.html")).page.inner_text("body")
    assert "diverged" in text
    assert f"Of its runs {members.best.name} is best" in text, "by validation: its score is not the best one"
    assert "Best bleu" not in text


def test_seeds_are_taken_together(tmp_path: Path, opened: Open) -> None:
    values = (66.0, 68.0, 69.0)
    for seed, bleu in enumerate(values):
        write_run(tmp_path, "e2e_gpt2m", seed, e2e_scores(bleu))
    text = opened(write_several([tmp_path], tmp_path / "page.html")).page.inner_text("#seeds")
    mean = sum(values) / 3
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    assert f"{mean:.2f} ± {deviation:.4f}" in text


def test_a_place_without_a_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no run folder"):
        find_members([tmp_path])


def test_a_table_of_the_paper(tmp_path: Path, opened: Open) -> None:
    write_run(tmp_path, "e2e_gpt2m", 110, e2e_scores(70.5))
    page = opened(write_table_page(table("3", tmp_path), tmp_path / "page.html"))
    assert page.said == []
    assert len(page.asked) == 1
    row = " ".join(page.page.inner_text("#table tr.started").split())
    assert row.startswith("GPT-2 M (LoRA)")
    assert "70.5 70.4±.1 +0.1" in row
    found = Axe().run(page.page)
    assert found.violations_count == 0, found.generate_report()


def test_of_many_runs_the_best_are_shown_and_the_rest_is_counted(tmp_path: Path) -> None:
    for i in range(230):
        rate, seed = 10 ** (-5 + i // 5 / 10), i % 5
        overrides = (f"train.learning_rate={rate}", f"method.r={1 + i % 40}")
        run = write_run(
            tmp_path / "runs", "e2e_gpt2m", seed, e2e_scores(50 + i / 10), *overrides, folder=f"lr-{i // 5}"
        )
        steps = (json.dumps({"event": "step", "step": n, "loss": 1 / n + i}) for n in range(1, 701))
        (run / "metrics.jsonl").write_text("\n".join(steps) + "\n")
    text = write_several([tmp_path / "runs"], tmp_path / "page.html").read_text()
    assert len(text) < 1_000_000
    assert text.count('<th scope="row" class="path">') == 200
    assert "Of 230 runs, the best 200 by" in text
    assert "The best 24 runs are drawn." in text
    assert "The 24 lines of 40 that reach the best mean are drawn." in text
    assert ">lr-45/seed-4</th>" in text, "the best one"
    assert ">lr-0/seed-0</th>" not in text
