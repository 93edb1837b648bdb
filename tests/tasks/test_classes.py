"""Classes of one's own: several a text, and weights that balance them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from lorafit.data import RawRow
from lorafit.errors import DataError, LorafitError, RecipeError
from lorafit.tasks import ClassTask, Rows, load_rows, make_data, make_task
from tests.support.rows import save_rows


def loaded(folder: Path, name: str, cells: Sequence[Any], **options: Any) -> Rows:
    rows = [{"text": f"text {i}", "label": label} for i, label in enumerate(cells)]
    return load_rows(
        make_task(name, **options), make_data(name, train=str(save_rows(folder / "a.jsonl", rows)))
    )


def task_of(folder: Path, name: str, cells: Sequence[Any], **options: Any) -> ClassTask:
    task = loaded(folder, name, cells, **options).task
    assert isinstance(task, ClassTask)
    return task


@pytest.mark.parametrize(
    ("options", "value", "label"),
    [
        ({}, ["a", "c"], (1, 0, 1)),
        ({}, ["c", "a", "c"], (1, 0, 1)),
        ({}, [], (0, 0, 0)),
        ({}, '["b"]', (0, 1, 0)),
        ({}, " []", (0, 0, 0)),
        ({"label_separator": ";"}, "a; c", (1, 0, 1)),
        ({"label_separator": ";"}, "b", (0, 1, 0)),
        ({"label_separator": ";"}, "", (0, 0, 0)),
        ({"label_separator": ";"}, ["a"], (1, 0, 0)),
        ({"label_separator": "|"}, "a|b|", (1, 1, 0)),
        ({"label_values": "indices"}, [0, "b", 2.0], (1, 1, 1)),
    ],
)
def test_a_list_of_classes_in_any_spelling_is_those_classes(
    options: Mapping[str, Any], value: object, label: tuple[int, ...]
) -> None:
    task = make_task("multilabel", labels=("a", "b", "c"), **options)
    row = task.parse(RawRow(1, {"text": "x", "label": value}), "valid")
    assert row.to_json()["label"] == label
    assert task.label_text(label) == tuple(n for n, has in zip("abc", label, strict=True) if has)


@pytest.mark.parametrize(
    ("options", "value", "words"),
    [
        ({}, "a", "expected a list of classes"),
        ({}, "a;b", "task.label_separator"),
        ({}, 1, "expected a list of classes"),
        ({}, {"a": 1}, "expected a list of classes"),
        ({}, "[a, b]", "expected a list of classes in JSON"),
        ({}, ["a", "d"], "label 'd' is none of a, b, c"),
        ({}, ["a", ["b"]], "is none of"),
        ({}, [""], "label '' is none of"),
        ({}, [None], "label None is none of"),
        ({}, None, "expected a list of classes"),
        ({"label_separator": ","}, "a,d", "label 'd' is none of a, b, c"),
    ],
)
def test_what_could_be_meant_twice_is_a_bad_row(
    options: Mapping[str, Any], value: object, words: str
) -> None:
    task = make_task("multilabel", labels=("a", "b", "c"), **options)
    with pytest.raises(ValueError, match=r".") as caught:
        task.parse(RawRow(1, {"text": "x", "label": value}), "train")
    assert words in str(caught.value)


def test_a_test_row_without_the_column_has_no_label_and_one_with_an_empty_list_has() -> None:
    task = make_task("multilabel", labels=("a", "b"))
    given: list[dict[str, Any]] = [{}, {"label": []}]
    rows = [task.parse(RawRow(1, {"text": "x", **more}), "test") for more in given]
    assert [row.to_json()["label"] for row in rows] == [None, (0, 0)]


def test_classes_are_found_in_lists_as_in_single_cells(tmp_path: Path) -> None:
    lists = [[10, "b"], [], [2], ["b", 2], [10]]
    assert task_of(tmp_path, "multilabel", lists).labels == ("2", "10", "b")
    rows = loaded(tmp_path, "multilabel", lists)
    assert [row.to_json()["label"] for row in rows.rows("train")][:2] == [(0, 1, 1), (0, 0, 0)]


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two classes or more"):
        loaded(tmp_path, "multilabel", [["a"], [], ["a"]])


def test_balanced_weights_are_scikit_learn_s(tmp_path: Path) -> None:
    labels = ["b"] * 7 + ["a"] * 2 + ["c"]
    task = task_of(tmp_path, "classification", labels, class_weights="balanced")
    expected = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=labels)
    assert task.weights == pytest.approx(tuple(expected))
    assert task.resolve(iter(())) == task
    given = task_of(
        tmp_path,
        "classification",
        [0, 0, 1],
        labels=("x", "y"),
        label_values="indices",
        class_weights="balanced",
    )
    assert given.weights == pytest.approx((0.75, 1.5))


def test_balanced_weights_of_several_classes_make_having_and_not_having_one_count_the_same(
    tmp_path: Path,
) -> None:
    task = task_of(tmp_path, "multilabel", [["a"], ["a", "b"], [], ["a"]], class_weights="balanced")
    assert task.weights == pytest.approx((1 / 3, 3.0))
    every = task_of(tmp_path, "multilabel", [["a"], ["a", "b"]], class_weights="balanced")
    assert every.weights == (1.0, 1.0)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (
            {"class_weights": (1.0, 2.0, 3.0)},
            RecipeError,
            "must have a number for each of the 2 classes (a, b); got 3",
        ),
        (
            {"class_weights": "balanced", "labels": ("a", "b", "c")},
            DataError,
            "no training row has the label 'c'",
        ),
    ],
)
def test_weights_that_do_not_fit(
    options: dict[str, Any], kind: type[LorafitError], words: str, tmp_path: Path
) -> None:
    with pytest.raises(kind) as caught:
        loaded(tmp_path, "classification", ["a", "b", "a"], **options)
    assert words in str(caught.value)
    with pytest.raises(ValueError, match="'class_weights' must have a number for each"):
        make_task("classification", labels=("a", "b"), class_weights=(1.0,))
