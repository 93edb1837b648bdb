"""Every row of every file is used, or counted and said with its place, or the file is refused: never anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from lorafit.data import Row
from lorafit.data.readers import READERS
from lorafit.data.sources import FileFormat, Files
from lorafit.errors import DataError
from lorafit.recipe import DataSection
from lorafit.tasks import PRESETS, Rows, Task, load_rows, make_data, make_task
from lorafit.tasks import TASKS as KINDS
from tests.support.row_files import contents

TASKS = {
    "classes found": make_task("classification"),
    "classes given": make_task("classification", labels=("no", "yes"), label_values="indices", part="part"),
    "scores": make_task("regression", range=(0.0, 5.0)),
    "texts": make_task("generation"),
    "lists of labels": make_task("multilabel"),
    "conversations": make_task("chat"),
    "documents": make_task("text"),
    **{name: make_task(name) for name in ("e2e", "mnli", "stsb")},
}


def num_raw_rows(data: DataSection, path: Path) -> int:
    source = Files({path: ""}, FileFormat(data.format, data.columns))
    return sum(1 for file in source.open() for _ in file.rows)


def num_said(rows: Rows) -> int:
    """The rows that the notes count."""
    found = [re.search(r": (\d+) (?:malformed )?rows? (?:was|were) ", note) for note in rows.notes]
    return sum(int(match[1]) for match in found if match)


def read(task: Task, data: DataSection) -> tuple[Rows | DataError, Sequence[Row]]:
    """The training rows, or the refusal."""
    try:
        rows = load_rows(task, data)
        return rows, rows.rows("train")
    except DataError as error:
        return error, []


@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
@pytest.mark.parametrize("name", READERS)
def test_every_row_is_used_or_counted_or_the_file_is_refused(
    name: str, on_bad_row: str, tmp_path: Path
) -> None:
    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck), database=None)
    @given(content=contents(name))
    def check(content: bytes) -> None:
        path = tmp_path / "rows"
        path.write_bytes(content)
        for task in TASKS.values():
            data = make_data(task.name, train=str(path)).model_copy(
                update={"format": name, "on_bad_row": on_bad_row}
            )
            rows, used = read(task, data)
            if isinstance(rows, DataError):
                assert all(line.isprintable() for line in rows.message.split("\n"))
                assert str(path) in rows.message or rows.message.startswith("[")
                continue
            assert len(used) + num_said(rows) == num_raw_rows(data, path)
            for row in used:
                json.dumps(row.to_json(), ensure_ascii=False).encode("utf-8")

    check()


def test_every_kind_of_task_is_tried_here() -> None:
    assert {type(task) for task in TASKS.values()} == {*KINDS.values()}
    assert TASKS.keys() & PRESETS.keys()
