"""`lorafit score`: files in, scores and signatures out, errors that say what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafit.metrics.scorers import SCORERS, find_scorer
from lorafit.metrics.scoring import score_texts

PREDICTIONS = [
    "Blue Spice is a coffee shop .",
    "Zizzi serves French food by the river .",
    "Giraffe is rated 5 .",
]
GROUPS = [
    ["A coffee shop called Blue Spice .", "Blue Spice is a coffee shop in the city ."],
    ["By the river , Zizzi serves French food ."],
    ["Giraffe has a rating of 5 .", "Giraffe is rated 5 .", "Giraffe : 5 ."],
]
NAMES = ["bleu", "rouge_l", "cider", "nist"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """The same references as one file of groups, and as three with a line per prediction."""
    (tmp_path / "predictions").write_text("".join(f"{p}\n" for p in PREDICTIONS))
    (tmp_path / "groups").write_text("\n\n".join("\n".join(group) for group in GROUPS) + "\n")
    columns = []
    for i in range(3):
        columns.append(tmp_path / f"reference{i}")
        columns[i].write_text("".join(f"{(*group, '', '')[i]}\n" for group in GROUPS))
    (tmp_path / "splits").write_text("seen\tAirport\nunseen\tArtist\nseen\tFood\n")
    return {"predictions": tmp_path / "predictions", "groups": tmp_path / "groups", "columns": columns}


def by_name(names: list[str]) -> list[str]:
    return [argument for name in names for argument in ("--metric", name)]


def test_json_has_scores_and_a_signature_for_each(cli: Callable[..., Any], files: dict[str, Any]) -> None:
    done = cli("score", "e2e", files["predictions"], files["groups"], *by_name(NAMES), "--json")
    result = json.loads(done.stdout)
    wanted = score_texts(SCORERS["e2e-metrics"], PREDICTIONS, GROUPS, metrics=NAMES)
    assert result["scores"] == wanted.all
    assert set(result["signatures"]) == set(result["scores"]) >= set(NAMES)
    assert done.stderr == ""


def test_references_in_one_file_or_in_several(cli: Callable[..., Any], files: dict[str, Any]) -> None:
    one = cli("score", "e2e", files["predictions"], files["groups"], *by_name(NAMES), "--json")
    several = cli("score", "e2e", files["predictions"], *files["columns"], *by_name(NAMES), "--json")
    assert json.loads(one.stdout) == json.loads(several.stdout)


@pytest.mark.parametrize("protocol", ["official", "paper"])
def test_splits_and_protocols(cli: Callable[..., Any], files: dict[str, Any], protocol: str) -> None:
    names = ["bleu", "ter", "chrf"]
    splits = files["predictions"].with_name("splits")
    arguments = ["score", "webnlg", files["predictions"], *files["columns"], "--split-file", splits]
    done = cli(*arguments, "--protocol", protocol, *by_name(names), "--json")
    result = json.loads(done.stdout)
    assert list(result["scores"]) == ["all", "seen", "unseen"]
    wanted = score_texts(
        find_scorer("webnlg", protocol),
        PREDICTIONS,
        GROUPS,
        metrics=names,
        splits=["seen", "unseen", "seen"],
    )
    assert result["scores"] == wanted.parts


def test_the_table_shows_every_part_and_what_was_computed(
    cli: Callable[..., Any], files: dict[str, Any]
) -> None:
    splits = files["predictions"].with_name("splits")
    arguments = ["score", "webnlg", files["predictions"], *files["columns"], "--split-file", splits]
    out = cli(*arguments, *by_name(["bleu"])).stdout
    assert out.split()[:4] == ["score", "all", "seen", "unseen"]
    assert "bleu: nrefs:" in out


def test_without_java_the_rest_is_scored(
    cli: Callable[..., Any], files: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    done = cli("score", "e2e", files["predictions"], files["groups"], "--json")
    scores = json.loads(done.stdout)["scores"]
    assert scores["meteor"] is None
    assert all(value is not None for name, value in scores.items() if name != "meteor")
    assert "install a Java runtime" in done.stderr
    cli("score", "e2e", files["predictions"], files["groups"], *by_name(["meteor", "bleu"]), code=3)


@pytest.mark.parametrize(
    ("task", "more", "code", "message"),
    [
        ("e2f", [], 2, "no task 'e2f'; did you mean 'e2e'"),
        ("e2e", ["--metric", "blue"], 2, "no metric 'blue'; did you mean 'bleu'"),
        ("e2e", ["--split-file", "none"], 3, "none: no such file"),
    ],
)
def test_mistakes(
    cli: Callable[..., Any], files: dict[str, Any], task: str, more: list[str], code: int, message: str
) -> None:
    done = cli("score", task, files["predictions"], files["groups"], *more, code=code)
    [line] = done.stderr.splitlines()
    assert re.search(message, line)


def test_files_that_do_not_fit(cli: Callable[..., Any], files: dict[str, Any], tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("one\n")
    done = cli("score", "e2e", short, *files["columns"], code=3)
    assert f"{files['columns'][0]}: 3 lines for 1 predictions" in done.stderr
    assert "no such file" in cli("score", "e2e", tmp_path / "none", short, code=3).stderr
