"""A report as text: Markdown, LaTeX, HTML, CSV and JSON.

In the first three every row of the paper is three lines: ours, the paper's, and the difference with its verdict. The
columns and the order of rows are the paper's.
"""

from __future__ import annotations

import csv as csv_module
import html as html_module
import io
from collections.abc import Callable, Sequence

from lorafit.paper.cells import RULES, Cell, Line, TableReport

NOT_RUN = "-"


def ours(cell: Cell) -> str:
    """`69.1±.3`, as the paper prints; a dash where nothing was run."""
    return NOT_RUN if cell.value is None else with_margin(cell.value, cell.std, cell.column.digits)


def published(cell: Cell) -> str:
    """As the paper prints it."""
    if cell.published is None:
        return NOT_RUN
    return with_margin(cell.published.value, cell.published.margin, cell.column.digits)


def with_margin(value: float, margin: float | None, digits: int) -> str:
    """`70.4±.1`."""
    return f"{value:.{digits}f}" + ("" if margin is None else f"±{_short(margin, digits)}")


def difference(cell: Cell) -> str:
    """`-1.3`; empty where there is none."""
    return "" if cell.difference is None else f"{cell.difference:+.{cell.column.digits}f}"


def verdict_text(cell: Cell) -> str:
    """`off by -1.3`, `within (+0.1)`, `not run`; where others have published figures too, what these say of it."""
    if cell.verdict == "within":
        return f"within ({difference(cell)})"
    band = f", {cell.band}" if cell.band in ("as others get", "wrong") else ""
    return f"off by {difference(cell)}{band}" if cell.verdict == "off" else cell.verdict


def headings(report: TableReport) -> list[str]:
    """The titles of the figures' columns."""
    names = [column.name for column in report.table.columns]
    return [*names, report.table.average] if report.table.average else names


def method_title(line: Line) -> str:
    """`GPT-2 M (Adapter-L)*`: as the paper names its rows; what tells two of them apart is the size beside it."""
    return f"{line.row.model} ({line.row.method}){line.row.marks}"


def _short(margin: float, digits: int) -> str:
    return f"{margin:.{digits}f}".removeprefix("0") or "0"


# ---- three lines a row


def _body(report: TableReport) -> list[list[str]]:
    """[title, trained, whose, figures…] three times a row; once where nothing of it was run."""
    rows = []
    for line in report.lines:
        cells = line.all_cells
        paper = [*map(published, cells)]
        title, trained = method_title(line), line.row.num_trained
        if not line.started:
            rows.append([title, trained, "paper", *paper])
            continue
        rows.append([title, trained, "ours", *map(ours, cells)])
        rows.append(["", "", "paper", *paper])
        rows.append(["", "", "difference", *map(verdict_text, cells)])
    return rows


def markdown(report: TableReport) -> str:
    """A GitHub table with a caption and notes."""
    head = ["Model & method", "# trainable", "", *headings(report)]
    lines = [f"**Table {report.table.number}.** {report.table.caption}. {_rule(report)}", ""]
    lines += [_pipe(head), _pipe(["---", "---:", "---", *["---:"] * len(headings(report))])]
    lines += [_pipe(row) for row in _body(report)]
    if report.variants:
        names = [column.name for column in report.table.variant_columns]
        lines += ["", "The same as the authors' README prints it:", "", _pipe(["Model & method", "", *names])]
        lines += [_pipe(["---", "---", *["---:"] * len(names)])]
        for line in report.variants:
            lines.append(_pipe([method_title(line), "ours", *map(ours, line.cells)]))
            lines.append(_pipe(["", "README", *map(published, line.cells)]))
    return "\n".join([*lines, *_notes(report, lambda text: f"\n{text}")]) + "\n"


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("*", "\\*") for cell in cells) + " |"


def html(report: TableReport) -> str:
    """A <table> to paste into a page."""
    escape = html_module.escape
    head = ["Model & method", "# trainable", "", *headings(report)]
    lines = [
        f"<table>\n<caption>Table {report.table.number}. {escape(report.table.caption)}. {_rule(report)}</caption>"
    ]
    lines.append("<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>")
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in _body(report)]
    notes = _notes(report, lambda text: f"<p>{escape(text)}</p>")
    return "\n".join([*lines, "</table>", *notes]) + "\n"


def latex(report: TableReport) -> str:
    """A booktabs table with the paper's columns, in the paper's order."""
    groups = any(column.group for column in report.table.columns)
    num_figures = len(headings(report))
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\begin{{tabular}}{{lr{'c' * num_figures}}}",
        "\\toprule",
    ]
    if groups:
        names = list(dict.fromkeys(column.group for column in report.table.columns))
        sizes = [sum(column.group == name for column in report.table.columns) for name in names]
        spans = " & ".join(f"\\multicolumn{{{n}}}{{c}}{{{g}}}" for n, g in zip(sizes, names, strict=True))
        lines.append(f" & & {spans} \\\\")
    titles = [column.title for column in report.table.columns]
    titles += [report.table.average] if report.table.average else []
    lines.append(" & ".join(["Model \\& Method", "\\# Trainable", *map(_tex, titles)]) + " \\\\")
    lines.append("\\midrule")
    previous = report.lines[0].row.model if report.lines else ""
    for line in report.lines:
        if line.row.model != previous:
            lines.append("\\midrule")
            previous = line.row.model
        lines += _latex_row(line)
    caption = f"{report.table.caption}. {_rule(report)}"
    lines += ["\\bottomrule", "\\end{tabular}", f"\\caption{{{_tex(caption)}}}", "\\end{table}"]
    return "\n".join([*lines, *_notes(report, lambda text: f"% {text}")]) + "\n"


def _latex_row(line: Line) -> list[str]:
    """Ours; below it, small, the paper's and the difference."""
    cells = line.all_cells
    method = line.row.method.replace("Adapter-", "Adapter^").replace("FT-Top2", "FT^{Top2}")
    title = f"{_tex(line.row.model)} ({_superscript(method)})" + _tex_marks(line.row.marks)
    figures = [_tex_figure(ours(cell)) for cell in cells]
    rows = [" & ".join([title, _tex(line.row.num_trained), *figures]) + " \\\\"]
    paper = [f"{{\\scriptsize {_tex_figure(published(cell))}}}" for cell in cells]
    rows.append(" & ".join(["\\quad{\\scriptsize paper}", "", *paper]) + " \\\\")
    if line.started:
        apart = [f"{{\\scriptsize ${difference(cell)}$}}" if difference(cell) else "" for cell in cells]
        rows.append(" & ".join(["\\quad{\\scriptsize difference}", "", *apart]) + " \\\\")
    return rows


def _superscript(method: str) -> str:
    name, caret, raised = method.partition("^")
    return f"{_tex(name)}$^{{\\mathrm{{{raised.strip('{}')}}}}}$" if caret else _tex(name)


def _tex_marks(marks: str) -> str:
    return "".join("*" if mark == "*" else "$\\dagger$" for mark in marks)


def _tex_figure(text: str) -> str:
    value, sign, margin = text.partition("±")
    return f"${value}_{{\\pm {margin}}}$" if sign else "--" if text == NOT_RUN else value


def _tex(text: str) -> str:
    for character in "&%#_":
        text = text.replace(character, f"\\{character}")
    return text.replace("±", "$\\pm$").replace("†", "$\\dagger$")


# ---- one line a cell


def csv(report: TableReport) -> str:
    """A line for each cell."""
    stream = io.StringIO()
    records = [_record(line, cell) for line in report.lines for cell in line.all_cells]
    writer = csv_module.DictWriter(stream, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in r.items()} for r in records
    )
    return stream.getvalue()


def to_json(report: TableReport) -> dict[str, object]:
    """Everything, for programs."""
    return {
        "table": report.table.number,
        "caption": report.table.caption,
        "rule": RULES[report.table.rule],
        "cells": [_record(line, cell) for line in report.lines for cell in line.all_cells],
        "variants": [_record(line, cell) for line in report.variants for cell in line.cells],
        "left_out": [{"run": str(entry.run.path), "why": entry.why} for entry in report.left_out],
        "missing": [{"recipe": name, "command": fill_command(name)} for name in report.missing],
        "notes": list(report.notes),
    }


def _record(line: Line, cell: Cell) -> dict[str, object]:
    return {
        "row": line.row.label,
        "model": line.row.model,
        "method": line.row.method,
        "num_trained": line.row.num_trained,
        "column": cell.column.name,
        "task": cell.column.task,
        "ours": cell.value,
        "std": cell.std,
        "seeds": [run.seed for run in cell.runs],
        "paper": cell.published.value if cell.published else None,
        "paper_margin": cell.published.margin if cell.published else None,
        "difference": cell.difference,
        "verdict": cell.verdict,
        "band": cell.band,
        "recipe": cell.recipe,
        "command": fill_command(cell.recipe) if cell.recipe and cell.value is None else None,
    }


def fill_command(recipe: str) -> str:
    """What fills a cell."""
    return f"lorafit train {recipe}"


# ---- notes


def _rule(report: TableReport) -> str:
    return f"Ours: {RULES[report.table.rule]}."


def _notes(report: TableReport, form: Callable[[str], str]) -> list[str]:
    notes = (
        [f"* from prior work. {len(report.missing)} cells' recipes have not been run."]
        if report.missing
        else []
    )
    notes += [f"left out: {entry.run.path}: {entry.why}" for entry in report.left_out]
    notes += report.notes
    return [form(note) for note in notes]


FORMATS: dict[str, Callable[[TableReport], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": csv,
    "html": html,
}
