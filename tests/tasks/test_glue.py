"""GLUE rows from every layout they come in, and every fault in them by file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from lorafit.data import LabelRow, Split
from lorafit.errors import DataError, NotFoundError, RecipeError
from lorafit.tasks import PRESETS, LabelTask, make_task, submission_files
from tests.support.rows import read_labels, rows_of

GLUE = {name: preset for name, preset in PRESETS.items() if preset.submission is not None}


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + end).encode())
    return path


def in_folder(name: str, folder: Path, split: Split) -> list[LabelRow]:
    return [row for row in rows_of(name, dir=str(folder)).rows(split) if isinstance(row, LabelRow)]


DOWNLOAD = {  # header and a row of train.tsv, and what they mean
    "cola": (None, "gj04\t0\t*\tThem is here.", {"sentence": "Them is here."}, 0),
    "sst2": ("sentence\tlabel", "so good \t1", {"sentence": "so good "}, 1),
    "mrpc": (
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        '1\t70\t26\tA "b\tHe said',
        {"sentence1": 'A "b', "sentence2": "He said"},
        1,
    ),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        "0\tg\tf\t2012\t1\tnone\tnone\tA.\tB.\t3.25",
        {"sentence1": "A.", "sentence2": "B."},
        3.25,
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "5\t1\t2\tWhy?\tHow?\t0",
        {"question1": "Why?", "question2": "How?"},
        0,
    ),
    "mnli": (
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
        "sentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label",
        "0\t1\t1n\tfiction\t(\t(\t(\t(\tA.\tB.\tneutral\tcontradiction",
        {"premise": "A.", "hypothesis": "B."},
        2,
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel",
        "0\tWho?\tHe.\tnot_entailment",
        {"question": "Who?", "sentence": "He."},
        1,
    ),
    "rte": (
        "index\tsentence1\tsentence2\tlabel",
        "0\tA.\tB.\tentailment",
        {"sentence1": "A.", "sentence2": "B."},
        0,
    ),
    "wnli": ("index\tsentence1\tsentence2\tlabel", "0\tA.\tB.\t1", {"sentence1": "A.", "sentence2": "B."}, 1),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", DOWNLOAD)
def test_the_glue_download(name: str, end: str, tmp_path: Path) -> None:
    header, row, texts, label = DOWNLOAD[name]
    folder = GLUE[name].layout.folder  # type: ignore[attr-defined]
    write(tmp_path / folder / "train.tsv", *([header] if header else []), row, end=end)
    [example] = in_folder(name, tmp_path, "train")
    assert (dict(example.texts), example.label) == (texts, label)
    assert list(example.texts) == list(texts)  # the first text comes first
    assert rows_of(name, dir=str(tmp_path)).num_train_rows() == 1


@pytest.mark.parametrize("name", GLUE)
def test_own_files_with_the_hub_s_columns(name: str, tmp_path: Path) -> None:
    task = make_task(name)
    assert isinstance(task, LabelTask)
    label = 2.5 if task.labels is None else 1
    row = {**{column: f"a, {column}" for column in task.texts}, "label": label, "idx": 7}
    other = row | {"label": label if task.labels is None else task.labels[1]}
    write(tmp_path / "a.jsonl", json.dumps(row), json.dumps(other))
    quoted = [f'"{value}"' for value in row.values()]
    write(tmp_path / "a.csv", ",".join(row), ",".join(quoted), ",".join(quoted))
    write(tmp_path / "a.tsv", "\t".join(row), *["\t".join(map(str, row.values()))] * 2)
    parquet.write_table(pa.Table.from_pylist([row, row]), tmp_path / "a.parquet")
    for kind in ("jsonl", "csv", "tsv", "parquet"):
        examples = read_labels(name, tmp_path / f"a.{kind}")
        assert [example.label for example in examples] == [label, label], kind
        assert examples[0].texts == {column: f"a, {column}" for column in task.texts}


def test_mnli_has_two_valid_parts(tmp_path: Path) -> None:
    header = "index\tsentence1\tsentence2\tlabel1\tgold_label"
    write(tmp_path / "MNLI" / "dev_matched.tsv", header, "0\ta\tb\tneutral\tneutral")
    write(tmp_path / "MNLI" / "dev_mismatched.tsv", header, "0\tc\td\tneutral\tentailment")
    examples = in_folder("mnli", tmp_path, "valid")
    assert [(e.part, e.label) for e in examples] == [("matched", 1), ("mismatched", 0)]


def test_a_folder_in_the_hub_s_layout(tmp_path: Path) -> None:
    (tmp_path / "rte").mkdir()
    row = {"sentence1": "a", "sentence2": "b", "label": 1, "idx": 0}
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "rte" / "validation-00000-of-00001.parquet")
    assert [e.label for e in in_folder("rte", tmp_path, "valid")] == [1]


FAULTS = {  # lines of an RTE file, and the words that the error must hold besides the file
    "a broken row": (["index\tsentence1\tsentence2\tlabel", "0\ta\tb\tentailment", "1\ta b"], ":3: 2 fields"),
    "a wrong label": (
        ["index\tsentence1\tsentence2\tlabel", "0\ta\tb\tmaybe"],
        ":2: label 'maybe' is none of",
    ),
    "no label": (["index\tsentence1\tsentence2\tlabel", "0\ta\tb\t"], ":2: label '' is none of"),
    "no text": (
        ["index\tsentence1\tsentence2\tlabel", "0\t\t\tentailment"],
        ":2: sentence1 and sentence2: empty",
    ),
    "a missing column": (
        ["index\tsentence1\tsentence\tlabel", "0\ta\tb\tentailment"],
        ":1: no column 'sentence2'",
    ),
    "only a header": (["index\tsentence1\tsentence2\tlabel"], "a header and no rows"),
    "nothing": ([], "is empty"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_fault_is_said_with_file_and_line(fault: str, end: str, tmp_path: Path) -> None:
    lines, words = FAULTS[fault]
    path = tmp_path / "RTE" / "train.tsv"
    path.parent.mkdir()
    path.write_bytes("".join(line + end for line in lines).encode())
    with pytest.raises(DataError) as caught:
        in_folder("rte", tmp_path, "train")
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("kind", "lines", "words"),
    [
        ("jsonl", ['{"sentence": "a", "label": 1}', "{"], ":2: not valid JSON"),
        ("jsonl", ['{"sentence": "a", "labels": 1}'], ":1: no key 'label'; did you mean 'labels'?"),
        ("jsonl", ['{"sentence": null, "label": 1}'], ":1: sentence: expected a text, found None"),
        ("jsonl", ["[1]"], ":1: not a JSON object"),
        ("jsonl", ['{"sentence": "a", "label": true}'], ":1: label True is none of"),
        ("jsonl", ['{"sentence": "a", "label": 2}'], ":1: label 2 is none of negative (0), positive (1)"),
        ("csv", ["sentence,label", "a,b,1"], ":2: 3 fields between commas, expected 2"),
        ("csv", ["sentence;label", "a;1"], ":1: no column 'sentence'"),
        ("doc", ["x"], "unknown kind of file '.doc'"),
        ("txt", ["x"], ":1: no key 'sentence'; it has text"),
        ("parquet", ["x"], "not a readable parquet file"),
    ],
)
def test_faults_of_own_files(kind: str, lines: list[str], words: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{kind}", *lines)
    with pytest.raises(DataError) as caught:
        read_labels("sst2", path)
    assert f"{path}" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("score", ["5.5", "nan", "inf", "x", ""])
def test_a_score_out_of_range(score: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "sentence1\tsentence2\tscore", f"a\tb\t{score}")
    with pytest.raises(DataError, match="is not a number from 0 to 5"):
        read_labels("stsb", path)


def test_bad_rows_are_left_out_where_asked_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "sentence\tlabel", "a\t1", "b", "c\t9", "d\t0")
    rows = rows_of("sst2", train=str(path), on_bad_row="skip")
    assert [row.to_json()["texts"]["sentence"] for row in rows.rows("train")] == ["a", "d"]
    assert rows.rows("train") is rows.rows("train")  # a file is read once
    assert rows.notes == [f"{path}: 2 malformed rows were skipped (lines 3, 4); 2 are left"]


def test_skipping_everything_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "sentence\tlabel", "a")
    with pytest.raises(DataError, match="not one usable row"):
        read_labels("sst2", path, on_bad_row="skip")


def test_many_bad_rows_are_summed_up(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "sentence\tlabel", *["x"] * 40)
    with pytest.raises(DataError) as caught:
        read_labels("sst2", path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    assert "35 more malformed rows" in lines[5]
    assert "on_bad_row=skip" in lines[6]


def test_the_test_split_needs_no_labels(tmp_path: Path) -> None:
    write(tmp_path / "CoLA" / "test.tsv", "index\tsentence", "0\tA b.", "1\tC d.")
    write(tmp_path / "a.jsonl", '{"sentence": "A b.", "label": -1, "idx": 0}')
    examples = in_folder("cola", tmp_path, "test")
    assert [(e.texts["sentence"], e.label) for e in examples] == [("A b.", None), ("C d.", None)]
    assert [e.label for e in read_labels("cola", tmp_path / "a.jsonl", "test")] == [None]
    with pytest.raises(DataError, match="label -1 is none of"):
        read_labels("cola", tmp_path / "a.jsonl")


def test_missing_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        in_folder("rte", tmp_path / "nowhere", "train")
    with pytest.raises(NotFoundError, match=r"RTE/dev\.tsv: no such file \(data.dir, valid split\)"):
        in_folder("rte", tmp_path, "valid")
    with pytest.raises(NotFoundError, match=r"no such file \(data.train\)"):
        read_labels("rte", tmp_path / "a.tsv")
    with pytest.raises(NotFoundError, match=r"set data.valid=FILE"):
        rows_of("rte", train="x.tsv").rows("valid")


def test_the_hub_offline_is_one_clear_line() -> None:
    with pytest.raises(
        NotFoundError, match=r"nyu-mll/glue/rte: not in the Hugging Face cache.*data.dir=FOLDER"
    ):
        rows_of("rte").rows("train")
    assert rows_of("rte").num_train_rows() is None


def test_which_splits_a_run_reads() -> None:
    for keys in ({}, {"dir": "x"}, {"train": "x", "valid": "y", "test": "z"}):
        assert rows_of("rte", **keys).splits_of_run == ["train", "valid"], keys
        assert rows_of("rte", **keys).scored_split == "valid"
    assert rows_of("rte", train="x").splits_of_run == ["train"]
    assert rows_of("e2e").splits_of_run == ["train", "valid", "test"]


def test_a_label_under_two_names_must_be_the_same(tmp_path: Path) -> None:
    header = "sentence1\tsentence2\tgold_label\tlabel"
    path = write(tmp_path / "a.tsv", header, "a\tb\tneutral\tneutral", "c\td\tneutral\tentailment")
    with pytest.raises(DataError, match=r":3: gold_label is 'neutral' and label is 'entailment', and both"):
        read_labels("mnli", path)
    assert len(read_labels("mnli", path, on_bad_row="skip")) == 1


def labelled(count: int, part: str = "") -> list[LabelRow]:
    return [LabelRow({"a": "x"}, None, part)] * count


def submitted(name: str, rows: list[LabelRow], predictions: list[float]) -> dict[str, str]:
    submission = PRESETS[name].submission
    assert submission is not None
    return submission_files(submission, make_task(name), rows, predictions)


def test_submissions_are_what_gluebenchmark_takes() -> None:
    assert submitted("rte", labelled(2), [0, 1]) == {
        "RTE.tsv": "index\tprediction\n0\tentailment\n1\tnot_entailment\n"
    }
    assert submitted("cola", labelled(1), [1]) == {"CoLA.tsv": "index\tprediction\n0\t1\n"}
    assert submitted("stsb", labelled(3), [-0.2, 2.34567, 5.2]) == {
        "STS-B.tsv": "index\tprediction\n0\t0.000\n1\t2.346\n2\t5.000\n"
    }
    both = submitted("mnli", [*labelled(1, "matched"), *labelled(1, "mismatched")], [2, 1])
    assert both == {
        "MNLI-m.tsv": "index\tprediction\n0\tcontradiction\n",
        "MNLI-mm.tsv": "index\tprediction\n0\tneutral\n",
    }
    with pytest.raises(RecipeError, match="there are no matched rows"):
        submitted("mnli", labelled(1), [0])


def test_real_files(shared: Path) -> None:
    for name, count in (("rte", 2490), ("cola", 8551)):
        rows = rows_of(name, dir=str(shared / "data" / "glue"))
        assert rows.num_train_rows() == count == PRESETS[name].size.num_train_rows
    mrpc = in_folder("mrpc", shared / "data" / "glue", "train")
    assert mrpc[0].texts["sentence1"].startswith("Amrozi accused his brother")
