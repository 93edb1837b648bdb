"""The general tasks on files of one's own: what labels are, what rows share, and what is refused before training."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lorafit.data import LabelRow, RawRow, TextRow
from lorafit.errors import DataError, NotFoundError, RecipeError
from lorafit.tasks import Classification, Generation, Regression, Rows, load_rows, make_data, make_task
from tests.support.rows import rows_of


def write(folder: Path, *rows: dict[str, Any], name: str = "train.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def labelled(folder: Path, *labels: Any, **options: Any) -> Rows:
    train = write(folder, *({"text": f"t{i}", "label": label} for i, label in enumerate(labels)))
    return load_rows(make_task("classification", **options), make_data("classification", train=train))


# ---- labels


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["pos", "neg", "pos"], ("neg", "pos")),
        ([5, 1, 10, 1], ("1", "5", "10")),
        (["5", "1", "10"], ("1", "5", "10")),
        ([2.0, 1.5, 2], ("1.5", "2")),
        ([True, False], ("false", "true")),
        (["b", "-1", "a"], ("-1", "a", "b")),
    ],
)
def test_labels_come_from_the_training_rows(
    tmp_path: Path, values: list[Any], labels: tuple[str, ...]
) -> None:
    rows = labelled(tmp_path, *values)
    assert rows.task.labels == labels
    found = [row.label for row in rows.rows("train") if isinstance(row, LabelRow)]
    assert [rows.task.label_text(label) for label in found if label is not None] == [
        labels[
            labels.index(
                str(v).lower() if isinstance(v, bool) else f"{v:g}" if isinstance(v, float) else str(v)
            )
        ]
        for v in values
    ]


def test_the_resolved_task_says_all_and_needs_no_rows(tmp_path: Path) -> None:
    task = labelled(tmp_path, "b", "a").task
    assert task.options() == {
        "name": "classification",
        "kind": "classification",
        "metrics": ["accuracy", "f1"],
        "headline": "accuracy",
        "class_weights": None,
        "part": None,
        "score_on": None,
        "text": "text",
        "label": "label",
        "labels": ["a", "b"],
        "label_values": "names",
    }
    assert task.resolve(iter([RawRow(1, {"text": "x", "label": "c"})])) == task
    assert labelled(tmp_path, "c", "b", "a").task.metrics == ("accuracy",)


def test_a_whole_number_is_a_name_or_an_index_as_the_task_says(tmp_path: Path) -> None:
    names = {"labels": ("10", "20")}
    assert [r.label for r in labelled(tmp_path, 20, "10", **names).rows("train")] == [1, 0]  # type: ignore[union-attr]
    places = {"labels": ("no", "yes"), "label_values": "indices"}
    found = labelled(tmp_path, 1, "0", "yes", 0.0, **places).rows("train")
    assert [row.label for row in found] == [1, 0, 1, 0]  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r":1: label 1 is none of no, yes"):
        labelled(tmp_path, 1, labels=("no", "yes")).rows("train")
    with pytest.raises(DataError, match=r":1: label 0.5 is none of no \(0\), yes \(1\)"):
        labelled(tmp_path, 0.5, **places).rows("train")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_values": "indices"}, "needs 'labels'"),
        ({"label_values": "indices", "labels": ("1", "2")}, "could be a name or an index"),
        ({"labels": ("a",)}, "two classes or more"),
        ({"labels": ("a", "a")}, "two classes or more"),
        ({"labels": ("a", "")}, "two classes or more"),
        ({"text": ()}, "a column, or an array of two"),
        ({"text": ("a", "b", "c")}, "a column, or an array of two"),
        ({"text": ("a", "a")}, "a column, or an array of two"),
        ({"text": ""}, "a column, or an array of two"),
        ({"text": ("label", "b")}, "'label' and 'text' are the same column 'label'"),
    ],
)
def test_a_classification_that_could_be_meant_twice(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        make_task("classification", **options)


def test_rows_from_which_no_classes_can_be_learned(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="every training row has the label 'a'"):
        labelled(tmp_path, "a", "a")
    with pytest.raises(DataError, match="no training row can be used: label: has no class"):
        labelled(tmp_path, "", None)
    with pytest.raises(DataError, match="each of the 30 training rows has a label of its own"):
        labelled(tmp_path, *range(30))
    assert len(labelled(tmp_path, *range(9)).task.labels or ()) == 9


def test_a_label_that_training_never_had_is_said_with_its_line(tmp_path: Path) -> None:
    train = write(tmp_path, {"text": "a", "label": "x"}, {"text": "b", "label": "y"})
    valid = write(tmp_path, {"text": "a", "label": "x"}, {"text": "b", "label": "z"}, name="valid.jsonl")
    rows = rows_of("classification", train=train, valid=valid)
    with pytest.raises(DataError, match=r"valid\.jsonl:2: label 'z' is none of x, y"):
        rows.rows("valid")


def test_a_test_split_may_lack_labels(tmp_path: Path) -> None:
    train = write(tmp_path, {"text": "a", "label": "-1"}, {"text": "b", "label": "1"})
    test = write(
        tmp_path, {"text": "a"}, {"text": "b", "label": None}, {"text": "c", "label": "-1"}, name="t.jsonl"
    )
    rows = rows_of("classification", train=train, test=test)
    assert [row.label for row in rows.rows("test")] == [None, None, 0]  # type: ignore[union-attr]


def test_labels_that_are_not_known_yet() -> None:
    with pytest.raises(RecipeError, match=r"\[task\] labels: they come from the training rows"):
        _ = make_task("classification").num_outputs


# ---- scores


def test_a_score_in_its_range() -> None:
    task = make_task("regression", range=(0.0, 5.0))
    assert isinstance(task, Regression)
    assert task.parse_label("2.5") == 2.5
    for value in ("5.5", True, None, "x", float("nan")):
        with pytest.raises(ValueError, match="is not a number from 0 to 5"):
            task.parse_label(value)
    assert make_task("regression").parse(RawRow(1, {"text": "a", "label": "-7"}), "train").label == -7  # type: ignore[union-attr]
    for wrong in ((5.0, 0.0), (0.0, float("inf"))):
        with pytest.raises(ValidationError, match="two numbers, the lower one first"):
            make_task("regression", range=wrong)


# ---- texts


def test_a_prompt_from_several_columns(tmp_path: Path) -> None:
    task = make_task("generation", prompt="Q: {question}\nA:", completion="answer", part="topic")
    row = {"question": "Who?", "answer": "He.", "topic": "people", "more": [1]}
    rows = load_rows(task, make_data("generation", train=write(tmp_path, row, row | {"topic": None})))
    assert rows.rows("train") == [TextRow("Q: Who?\nA:", "He.", "people"), TextRow("Q: Who?\nA:", "He.")]
    with pytest.raises(
        DataError, match=r":1: no key 'qestion'; did you mean 'question'\? it has question, answer"
    ):
        load_rows(make_task("generation", prompt="{qestion}"), rows.data).rows("train")


def test_no_part_may_be_called_all(tmp_path: Path) -> None:
    task = make_task("generation", part="topic")
    train = write(tmp_path, {"prompt": "a", "completion": "b", "topic": "all"})
    with pytest.raises(DataError, match=":1: topic is 'all', which scores call everything"):
        load_rows(task, make_data("generation", train=train)).rows("train")


def test_an_empty_prompt_is_no_row(tmp_path: Path) -> None:
    train = write(tmp_path, {"prompt": " ", "completion": "x"})
    with pytest.raises(DataError, match=":1: the prompt is empty"):
        rows_of("generation", train=train).rows("train")


# ---- splits


def test_which_split_is_scored() -> None:
    for task in (make_task("classification", labels=("a", "b")), make_task("generation")):
        assert task.scored_split(["train", "valid", "test"]) == "test"
        assert task.scored_split(["train", "valid"]) == "valid"
    assert make_task("generation", score_on="valid").scored_split(["train", "valid", "test"]) == "valid"


@pytest.mark.parametrize(
    ("task", "row"),
    [
        (make_task("generation", prompt="{a}-{b}"), {"a": "x", "b": "y", "completion": "{}"}),
        (make_task("classification", text=("a", "b"), labels=("0", "1")), {"a": "x", "b": "y", "label": "0"}),
    ],
)
def test_rows_with_one_key_have_one_text(task: Generation | Classification, row: dict[str, str]) -> None:
    keys = [
        task.key(RawRow(1, row | change)) for change in ({}, {"completion": "z", "label": "1"}, {"b": "z"})
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_share_of_the_training_rows(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i}", "completion": text} for i in range(200) for text in ("x", "y")]
    found = rows_of("generation", train=write(tmp_path, *rows), valid=0.1, test=0.2)
    splits = {split: [row.to_json()["context"] for row in found.rows(split)] for split in found.splits}
    assert [round(len(prompts) / 400, 1) for prompts in splits.values()] == [0.7, 0.1, 0.2]
    assert sum(len(set(prompts)) for prompts in splits.values()) == 200
    assert sorted(itertools.chain(*splits.values())) == sorted(row["prompt"] for row in rows)
    assert found.splits_of_run == ["train", "valid", "test"]
    assert found.num_train_rows() == len(splits["train"])
    assert len({found.identity(split) for split in found.splits}) == 3


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (1e-9, r"\[data\] valid: no training row falls into the share of 1e-09; set data.valid"),
        (0.999999, r"\[data\] valid: no training row is left beside the share; set data.valid"),
    ],
)
def test_a_share_that_leaves_nothing(tmp_path: Path, share: float, words: str) -> None:
    rows = rows_of("generation", train=write(tmp_path, {"prompt": "a", "completion": "b"}), valid=share)
    with pytest.raises(DataError, match=words):
        _ = [rows.rows(split) for split in rows.splits]


# ---- columns and files


def test_a_missing_column_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("review,label\n" + "good,1\nbad,0\n" * 20)
    with pytest.raises(DataError) as caught:
        load_rows(
            make_task("classification", text="reveiw"),
            make_data("classification", train=str(tmp_path / "a.csv")),
        )
    expected = f"{tmp_path}/a.csv:1: no column 'reveiw'; did you mean 'review'? it has review, label"
    assert str(caught.value) == expected


def test_a_file_that_is_not_there() -> None:
    for task in ("generation", "regression", "classification"):
        with pytest.raises(NotFoundError, match=r"nowhere\.csv: no such file \(data\.train\)"):
            rows_of(task, train="nowhere.csv").num_train_rows()
        with pytest.raises(
            NotFoundError, match=r"no place is given for the train split; set data\.train=FILE"
        ):
            rows_of(task).num_train_rows()
