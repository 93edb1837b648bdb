"""Adapter folders of format version 1 are read as what they are, or refused; what is written is of version 2."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lorafit.adapters import read_adapter, record_scores, task_of
from lorafit.adapters.version1 import upgraded
from lorafit.errors import AdapterError, DamagedError
from lorafit.tasks import Classification, Generation, Regression, Task, make_data, make_task

KEPT = Path(__file__).parents[1] / "assets" / "same_numbers" / "kept"
LABEL, TEXT = KEPT / "kept_label", KEPT / "kept_text"


def card_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "adapter.json").read_text())
    return document


@pytest.fixture(params=[LABEL, TEXT], ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(request.param, tmp_path / "adapter"))


def test_it_has_the_task_and_data_of_its_preset(folder: Path) -> None:
    before, adapter = card_of(folder), read_adapter(folder)
    name = before["task"]["name"]
    assert before["format_version"] == 1
    assert adapter.card.format_version == 2
    prompt_start: dict[str, Any] = {"prompt_start": "none"} if before["task"]["output"] == "text" else {}
    assert task_of(adapter) == make_task(name, **prompt_start)
    given = {key: value for key, value in before["data"].items() if value is not None}
    assert adapter.card.data == make_data(name, **given)
    now = adapter.card.model_dump(mode="json")
    for key in ("base", "method", "decode", "scores", "files", "seal"):
        assert now[key] == before[key]


def test_new_scores_make_it_one_of_version_2(folder: Path) -> None:
    before = read_adapter(folder)
    record_scores(folder, {"all": 1.0})
    document, after = card_of(folder), read_adapter(folder)
    assert document["format_version"] == 2
    assert document["task"] == task_of(before).options()
    assert after.card.scores == {"all": 1.0}
    assert after.tensors.keys() == before.tensors.keys()
    assert all(torch.equal(tensor, before.tensors[name]) for name, tensor in after.tensors.items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"task": {"name": "rte", "output": "label", "labels": ["a", "b"]}},
            r"was changed after training: task\.la",
        ),
        ({"format_version": 2}, "format_version is 2, trained with 1"),
        ({"format_version": 3}, "format version 3 is newer than this lorafit reads"),
        ({"scores": {"accuracy": 1.0}}, "was edited after it was written"),
        ({"task": {"name": "rte"}}, r"task\.output: Field required"),
        ({"task": "rte"}, "task: Input should be"),
        ({"extra": 1}, "extra: Extra inputs are not permitted"),
    ],
)
def test_an_edited_card_is_refused(folder: Path, changes: dict[str, Any], words: str) -> None:
    (folder / "adapter.json").write_text(json.dumps(card_of(folder) | changes))
    with pytest.raises(AdapterError, match=words):
        read_adapter(folder)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"name": "unknown", "output": "label", "labels": ["LABEL_0", "LABEL_1"]}, "classification"),
        ({"name": "unknown", "output": "score", "labels": None}, "regression"),
        ({"name": "unknown", "output": "text", "labels": None}, "generation"),
        (
            {"name": "mnli", "output": "label", "labels": ["a", "b"]},
            "classification",
        ),  # not the preset's labels
        ({"name": "mnli", "output": "text", "labels": None}, "generation"),
    ],
)
def test_a_task_that_is_no_preset_keeps_what_is_known(task: dict[str, Any], expected: str) -> None:
    card = upgraded(card_of(TEXT) | {"task": task})
    kinds: dict[str, type[Task]] = {
        "classification": Classification,
        "regression": Regression,
        "generation": Generation,
    }
    found = kinds[expected].model_validate_json(
        json.dumps({k: v for k, v in card.task.items() if k != "kind"})
    )
    assert card.task["kind"] == expected
    assert found.labels == (None if task["labels"] is None else tuple(task["labels"]))
    assert card.task["name"] == ("unknown" if task["name"] == "unknown" else expected)


def test_a_task_of_a_later_version_is_refused_by_name(folder: Path) -> None:
    adapter = read_adapter(folder)
    for change, words in (
        ({"kind": "poem"}, "'poem' is none of classification"),
        ({"sauce": 1}, r"task\.sauce"),
    ):
        card = adapter.card.model_copy(update={"task": adapter.card.task | change})
        with pytest.raises(AdapterError, match=words):
            task_of(type(adapter)(folder, card, adapter.tensors, None))


def test_one_label_is_no_classification() -> None:
    with pytest.raises(ValueError, match="two classes or more"):
        upgraded(card_of(TEXT) | {"task": {"name": "x", "output": "label", "labels": ["a"]}})


def test_a_damaged_card_says_where(folder: Path) -> None:
    document = card_of(folder)
    document["base"].pop("id")
    (folder / "adapter.json").write_text(json.dumps(document))
    with pytest.raises(DamagedError, match=r"adapter\.json: base\.id: Field required"):
        read_adapter(folder)
