"""`lorafit init`: a recipe that runs as it is, for whatever a file holds, with the reason of every line."""

from __future__ import annotations

import csv
import gzip
import json
import random
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from lorafit.errors import DataError, NotFoundError, RecipeError
from lorafit.run.plan import load_plan
from lorafit.run.recipes import open_recipe
from lorafit.tasks import load_rows
from lorafit.verbs.init import init

WORDS = [
    "the",
    "film",
    "was",
    "very",
    "good",
    "bad",
    "plot",
    "made",
    "me",
    "laugh",
    "cry",
    "boring",
    "long",
    "story",
]


def texts(count: int, words: int, seed: int = 0) -> list[str]:
    """Sentences about films."""
    draw = random.Random(f"{seed} {words}")
    return [" ".join(draw.choices(WORDS, k=words)) + f" {i}" for i in range(count)]


def table(path: Path, **columns: Sequence[object]) -> Path:
    """A file of these columns, in the format of its suffix."""
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".json":
            path.write_text(json.dumps(rows))
        case ".parquet":
            parquet.write_table(pa.Table.from_pylist(rows), path)
        case ".gz":
            path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
        case _:
            with path.open("w", newline="") as stream:
                writer = csv.DictWriter(
                    stream, list(columns), delimiter="\t" if path.suffix == ".tsv" else ","
                )
                writer.writeheader()
                writer.writerows(rows)
    return path


def talk(text: str) -> list[dict[str, str]]:
    """A conversation about a text."""
    return [{"role": "user", "content": f"Say: {text}"}, {"role": "assistant", "content": text}]


N = 60
FILES: Mapping[str, tuple[Mapping[str, Sequence[object]], Mapping[str, Any]]] = {
    "stars.csv": (
        {"id": range(N), "review": texts(N, 12), "stars": [1 + i % 5 for i in range(N)]},
        {"name": "classification", "text": "review", "label": "stars", "metrics": ["accuracy"]},
    ),
    "two.tsv": (
        {"title": texts(N, 3), "body": texts(N, 15), "mood": ["good", "bad"] * (N // 2)},
        {"name": "classification", "text": "body", "label": "mood", "metrics": ["accuracy", "f1"]},
    ),
    "nli.jsonl": (
        {"premise": texts(N, 9), "hypothesis": texts(N, 6), "gold_label": ["yes", "no", "maybe"] * (N // 3)},
        {"name": "classification", "text": ["premise", "hypothesis"], "label": "gold_label", "metrics": ["accuracy"]},
    ),
    "similar.parquet": (
        {"sentence1": texts(N, 7), "sentence2": texts(N, 8), "score": [i / 7 for i in range(N)][::-1]},
        {
            "name": "regression",
            "text": ["sentence1", "sentence2"],
            "label": "score",
            "metrics": ["pearson", "spearman"],
        },
    ),
    "pairs.jsonl": (
        {"prompt": texts(N, 8), "completion": texts(N, 5)},
        {"name": "generation", "prompt": "prompt", "completion": "completion"},
    ),
    "alpaca.json": (
        {"instruction": texts(N, 8), "input": ["", "a b"] * (N // 2), "output": texts(N, 6)},
        {"name": "generation", "prompt": "{instruction}\n\n{input}\n\n", "completion": "output"},
    ),
    "translate.jsonl.gz": (
        {"english": texts(N, 8), "german": texts(N, 9, seed=1)},
        {"name": "generation", "prompt": "english", "completion": "german"},
    ),
    "tags.jsonl": (
        {"note": texts(N, 8), "tags": [["a"], ["a", "b"], [], ["c", "b"]] * (N // 4)},
        {"name": "multilabel", "text": "note", "label": "tags", "metrics": ["micro_f1", "macro_f1", "subset_accuracy"]},
    ),
    "tags.csv": (
        {"tags": ['["a"]', '["b", "a"]'] * (N // 2), "note": texts(N, 8)},
        {"name": "multilabel", "text": "note", "label": "tags", "metrics": ["micro_f1", "macro_f1", "subset_accuracy"]},
    ),
    "talks.jsonl": (
        {"id": range(N), "talk": [talk(text) for text in texts(N, 8)]},
        {"name": "chat", "messages": "talk", "train_on": "assistant", "template": "plain"},
    ),
    "talks.csv": (
        {"conversations": [json.dumps(talk(text)) for text in texts(N, 8)], "source": ["web"] * N},
        {"name": "chat", "messages": "conversations", "train_on": "assistant", "template": "plain"},
    ),
    "corpus.parquet": (
        {"id": range(N), "body": texts(N, 40)},
        {"name": "text", "text": "body"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_recipe_is_what_the_columns_say_and_runs_as_it_is(
    make_base: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    columns, task = FILES[name]
    base = make_base("gpt2" if task["name"] in ("generation", "chat", "text") else "roberta")
    result = init(table(tmp_path / name, **columns), tmp_path / "mine.toml", str(base))
    written = tomllib.loads(result.path.read_text())
    assert written["task"] == task
    assert result.sample.whole
    assert result.sample.num_rows == N
    plan = load_plan(result.path, [])
    assert plan.num_train_rows + len(plan.rows.rows("valid")) == N
    assert plan.task.headline == result.recipe.task.headline or result.recipe.task.headline is None
    assert len(result.preview.rows) == 3
    assert result.num_cut == sum(length > written["data"]["max_length"] for length in result.preview.lengths)


def test_a_plain_file_is_a_text(make_base: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("\n\n".join(" ".join(texts(30, 9, seed)) for seed in range(12)))
    result = init(tmp_path / "book.txt", tmp_path / "my own.toml", str(make_base("gpt2")))
    written = tomllib.loads(result.text)
    assert written["task"] == {"name": "text", "text": "text"}
    assert f"lorafit train '{tmp_path}/my own.toml'\n" in result.text
    assert "a longer text is learned in several" in result.text
    assert result.num_cut == 0
    assert load_plan(result.path, []).num_train_rows > 1


@pytest.mark.parametrize("num_files", [1, 3, 12])
def test_the_plain_files_of_a_folder_are_texts(
    make_base: Callable[..., Path], tmp_path: Path, num_files: int
) -> None:
    folder = tmp_path / "books"
    (folder / "drafts").mkdir(parents=True)
    for name in ("README.md", "cover.jpg", ".hidden.txt"):
        (folder / name).write_text("about")
    for i in range(num_files):
        (folder / f"{i}.txt").write_text(" ".join(texts(8, 9, seed=i)))
    result = init(folder, tmp_path / "mine.toml", str(make_base("gpt2")))
    written = tomllib.loads(result.text)
    assert written["task"] == {"name": "text", "text": "text"}
    named = written["data"]["train"]
    files = [named] if num_files == 1 else named
    assert sorted(files) == sorted(str(folder / f"{i}.txt") for i in range(num_files))
    assert "not README.md and cover.jpg and drafts" in result.text
    assert result.sample.num_rows == num_files
    plan = load_plan(result.path, [])
    held_out = plan.rows.rows("valid") if "valid" in plan.rows.splits else []
    assert plan.num_train_rows + len(held_out) == num_files
    assert (len(held_out) > 0) == (num_files > 1)


def test_a_folder_without_a_training_split_is_read_whole_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    with pytest.raises(NotFoundError, match="no file of rows there"):
        init(folder, None, None)
    for name in ("a.csv", "b.csv", "test.csv"):
        table(folder / name, **FILES["stars.csv"][0])
    written = tomllib.loads(init(folder, tmp_path / "mine.toml", None).text)
    assert written["data"]["train"] == [str(folder / "a.csv"), str(folder / "b.csv")]
    assert written["data"]["test"] == str(folder / "test.csv")
    (folder / "c.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"several formats \(csv, jsonl\), and none is called train"):
        init(folder, tmp_path / "other.toml", None)


@pytest.mark.parametrize("num_rows", [2, 5, 20])
def test_what_is_held_out_of_few_rows_is_some_and_leaves_some(tmp_path: Path, num_rows: int) -> None:
    rows = {"english": texts(num_rows, 8), "german": texts(num_rows, 9, seed=1)}
    path = init(table(tmp_path / "few.jsonl", **rows), tmp_path / "mine.toml", None).path
    data = open_recipe(path).data
    found = load_rows(open_recipe(path).task, data)
    if data.valid is not None:
        assert found.rows("valid")
    assert found.rows("train")


def test_every_guess_is_a_line_with_its_reason(make_base: Callable[..., Path], tmp_path: Path) -> None:
    data = table(tmp_path / "stars.csv", **FILES["stars.csv"][0])
    text = init(data, tmp_path / "mine.toml", str(make_base("roberta"))).text
    said_by_itself = {'name = "lora"', f'train = "{data}"'}
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    assert {line.strip() for line in lines if "  # " not in line} == said_by_itself
    assert "column stars has 5 different values" in text
    assert "# Could also be meant: regression: column stars holds numbers" in text


def test_what_could_be_meant_twice_is_asked_for(tmp_path: Path) -> None:
    data = table(tmp_path / "two.csv", **FILES["two.tsv"][0])
    asked: dict[str, Sequence[str]] = {}

    def ask(question: str, options: Sequence[str]) -> str:
        asked[question] = options
        return options[-1]

    result = init(data, tmp_path / "mine.toml", None, ask)
    assert list(asked["text"]) == ["body", "title", "title, body"]
    assert result.guess.task["text"] == ("title", "body")


def test_without_the_base_lengths_are_estimated_and_it_is_said(tmp_path: Path) -> None:
    result = init(table(tmp_path / "a.csv", **FILES["stars.csv"][0]), tmp_path / "mine.toml", None)
    assert not result.preview.tokenizer
    assert "estimated by the words" in result.text


def test_conversations_get_a_base_that_knows_how_they_are_written(tmp_path: Path) -> None:
    result = init(table(tmp_path / "a.jsonl", **FILES["talks.jsonl"][0]), tmp_path / "mine.toml", None)
    assert tomllib.loads(result.text)["model"]["base"].endswith("Instruct")


def test_a_folder_with_splits(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        table(folder / f"{split}.jsonl", **FILES["stars.csv"][0])
    written = tomllib.loads(init(folder, tmp_path / "mine.toml", None).text)
    assert written["data"]["dir"] == str(folder)
    assert "valid" not in written["data"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json", "jsonl.gz", "parquet"])
def test_of_a_large_file_a_sample_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr("lorafit.data.sample._NUM_BYTES", 10_000)
    monkeypatch.setattr("lorafit.data.sample._NUM_ROWS", 200)
    columns = {"text": texts(3000, 10), "label": [f"{i % 3} of 3" for i in range(3000)]}
    result = init(table(tmp_path / f"large.{suffix}", **columns), tmp_path / "mine.toml", None)
    assert not result.sample.whole
    assert 20 < len(result.sample.rows) <= 200
    if suffix != "jsonl.gz":  # of which a whole block is unzipped at a time
        assert result.sample.num_rows == pytest.approx(3000, rel=0.35)
    assert not any(row.fault for row in result.sample.rows)
    assert result.guess.task == {"name": "classification", "text": "text", "label": "label"}


def test_malformed_rows_are_counted(tmp_path: Path) -> None:
    data = table(tmp_path / "a.csv", **FILES["stars.csv"][0])
    data.write_text(data.read_text() + "1,2\n")
    result = init(data, tmp_path / "mine.toml", None)
    assert result.num_malformed == 1
    assert result.first_fault.startswith(f"{N + 2}: ")


@pytest.mark.parametrize(
    ("content", "error"), [("", "is empty"), ("a,b\n", "no rows"), ("a,b\n1,2\n3,4\n", "nothing to learn")]
)
def test_a_file_that_teaches_nothing_is_refused_and_nothing_is_written(
    tmp_path: Path, content: str, error: str
) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=error):
        init(tmp_path / "a.csv", tmp_path / "mine.toml", None)
    assert not (tmp_path / "mine.toml").exists()


def test_a_recipe_that_is_there_is_left_alone(tmp_path: Path) -> None:
    data = table(tmp_path / "a.csv", **FILES["stars.csv"][0])
    (tmp_path / "mine.toml").write_text("mine")
    with pytest.raises(RecipeError, match="already exists"):
        init(data, tmp_path / "mine.toml", None)
    assert (tmp_path / "mine.toml").read_text() == "mine"
    with pytest.raises(NotFoundError, match="no such file"):
        init(tmp_path / "b.csv", None, None)
