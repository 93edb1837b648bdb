"""A report as text for papers, pages and programs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from lorafit.paper import layout
from lorafit.paper.table import table
from tests.support.run_folders import write_run

LORA = "GPT-2 M (LoRA)"


def test_every_format_holds_every_row_in_the_paper_s_order(tmp_path: Path) -> None:
    write_run(
        tmp_path,
        "webnlg_gpt2m",
        0,
        {"all": {"bleu": 55.31}, "seen": {"bleu": 62.0}, "unseen": {"bleu": 40.0}},
    )
    report = table("14", tmp_path)
    records = list(csv.DictReader(io.StringIO(layout.csv(report))))
    assert [r["row"] for r in records[::9]] == [line.row.label for line in report.lines]
    ours = {r["column"]: r for r in records if r["row"] == LORA}
    assert (ours["BLEU A"]["verdict"], ours["BLEU U"]["difference"]) == ("within", "-6.7")
    assert ours["MET A"]["command"] == "lorafit train webnlg_gpt2m"
    assert layout.to_json(report)["cells"][0]["command"] == "lorafit train webnlg_gpt2m_ft"

    markdown = layout.markdown(report).splitlines()
    table_lines = [line for line in markdown if line.startswith("|")]
    widths = {line.count("|") for line in table_lines[: 2 + len(report.lines)]}
    assert widths == {13}
    assert any("55.3 " in line and "ours" in line for line in table_lines)

    latex = layout.latex(report)
    body = [line for line in latex.splitlines() if line.endswith("\\\\")]
    assert {line.replace("\\&", "").count("&") for line in body[1:]} == {
        10
    }  # eleven columns, as the paper has
    assert latex.count("{") == latex.count("}")
    assert "$46.7_{\\pm .4}$" in latex
    assert layout.html(report).count("<tr>") == 1 + len(report.lines) + 2
