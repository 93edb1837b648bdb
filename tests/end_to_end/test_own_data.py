"""Files of one's own through the command line, with the recipes for them: train, score, merge; a user's mistakes."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import safetensors.torch
import torch
from pyarrow import parquet
from transformers import pipeline

from tests.conftest import CONTEXTS, e2e_sentence
from tests.support.tiny_encoders import save_encoder, sentences

Run = Callable[..., Any]
STARS = ("1", "5")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("base"), "roberta")


def reviews(count: int = 120) -> list[dict[str, str]]:
    """Reviews of two kinds, no two of them alike."""
    return [
        {"id": str(i), "review": f"{text} {i}", "stars": STARS[label]}
        for i, (text, label) in enumerate(sentences(count))
    ]


def write_csv(path: Path, rows: list[dict[str, Any]], *, end: str = "\n") -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator=end)
        writer.writeheader()
        writer.writerows(rows)
    return path


def settings(base: Path, train: Path, **more: Any) -> list[str]:
    values = {"model.base": base, "data.train": train, "train.learning_rate": 0.01, "train.log_every": 1}
    values |= {key.replace("__", "."): value for key, value in more.items()}
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


REVIEWS = {"task__text": "review", "task__label": "stars", "data__max_length": 32}


def test_a_csv_of_reviews_becomes_a_model_that_says_stars(cli: Run, encoder: Path, tmp_path: Path) -> None:
    train = write_csv(tmp_path / "reviews.csv", reviews())
    chosen = settings(encoder, train, data__valid=0.2, train__epochs=6, **REVIEWS)
    run = tmp_path / "run"
    planned = cli("train", "own_classification", *chosen, "--dry-run").stdout
    assert 'labels = [\n    "1",\n    "5",\n]' in planned
    trained = json.loads(cli("train", "own_classification", *chosen, "--output", run, "--json").stdout)
    assert trained["scores"]["accuracy"] > 0.8
    assert trained["scores"].keys() == {"accuracy", "f1"}

    card = json.loads((run / "adapter" / "adapter.json").read_text())
    assert card["format_version"] == 2
    assert (card["task"]["kind"], card["task"]["labels"]) == ("classification", list(STARS))
    assert card["provenance"]["data"].keys() == {"train", "valid"}

    again = json.loads(cli("eval", run / "adapter", "--split", "valid", "--json").stdout)
    assert again["scores"] == trained["scores"]
    unlabelled = write_csv(tmp_path / "new.csv", [{"review": row["review"]} for row in reviews(8)])
    cli("eval", run / "adapter", "--split", "test", "--data", unlabelled, "--output", tmp_path / "new")
    predicted = [
        json.loads(line) for line in (tmp_path / "new" / "predictions.jsonl").read_text().splitlines()
    ]
    assert {row["prediction"] for row in predicted} == set(STARS)

    cli("merge", run / "adapter", tmp_path / "merged")
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["id2label"] == {"0": "1", "1": "5"}
    classify = pipeline("text-classification", model=str(tmp_path / "merged"), device="cpu")
    assert [answer["label"] for answer in classify([row["input"]["review"] for row in predicted])] == [
        row["prediction"] for row in predicted
    ]


def test_pairs_with_a_score(cli: Run, encoder: Path, tmp_path: Path) -> None:
    texts = sentences(60)
    rows = [
        {"a": a, "b": b, "grade": 4.5 if x == y else 0.5}
        for (a, x), (b, y) in zip(texts, [*texts[1::2], *texts[::2]], strict=True)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = {
        "task__text": '["a", "b"]',
        "task__label": "grade",
        "task__range": "[0, 5]",
        "data__max_length": 32,
    }
    chosen = settings(encoder, tmp_path / "pairs.jsonl", data__test=0.2, train__epochs=1, **pairs)
    run = tmp_path / "run"
    trained = json.loads(cli("train", "own_regression", *chosen, "--output", run, "--json").stdout)
    assert trained["scores"].keys() == {"pearson", "spearman"}
    assert (run / "predictions" / "test.jsonl").is_file()
    assert json.loads((run / "adapter" / "adapter.json").read_text())["provenance"]["data"].keys() == {
        "train",
        "valid",
        "test",
    }


def test_prompts_from_a_template(cli: Run, gpt2_base: Path, tmp_path: Path) -> None:
    rows = [{"question": context, "answer": e2e_sentence(context)} for context in CONTEXTS]
    rows += [row | {"answer": f"There is a place , {row['answer']}"} for row in rows]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    texts = {
        "task__prompt": '"Q: {question}\\nA:"',
        "task__completion": "answer",
        "decode__max_new_tokens": 8,
    }
    chosen = settings(gpt2_base, tmp_path / "q.json", data__valid=0.3, train__epochs=1, **texts)
    run = tmp_path / "run"
    trained = json.loads(cli("train", "own_generation", *chosen, "--output", run, "--json").stdout)
    assert {"bleu", "rouge_l", "exact_match"} <= trained["scores"].keys()
    predicted = [json.loads(line) for line in (run / "predictions" / "valid.jsonl").read_text().splitlines()]
    assert all(row["input"].startswith("Q: name : ") for row in predicted)
    assert {len(row["references"]) for row in predicted} == {2}
    written = cli("predict", run / "adapter", "Q: name : Cotto\nA:").stdout
    assert written.strip()


def test_the_same_rows_from_every_format_make_the_same_adapter(
    cli: Run, encoder: Path, tmp_path: Path
) -> None:
    rows = reviews(40)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write_csv(tmp_path / "a.csv", rows)
    write_csv(tmp_path / "crlf.csv", rows, end="\r\n")
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.csv").read_bytes())
    (tmp_path / "a.tsv").write_text(
        "".join("\t".join(row) + "\n" for row in [tuple(rows[0]), *map(dict.values, rows)])
    )
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "numbers.jsonl").write_text(
        "".join(json.dumps(row | {"stars": int(row["stars"])}) + "\n" for row in rows)
    )
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=2))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found: dict[str, dict[str, torch.Tensor]] = {}
    for path in sorted(tmp_path.iterdir()):
        chosen = settings(encoder, path, data__valid=0.2, train__epochs=1, train__max_steps=3, **REVIEWS)
        cli("train", "own_classification", *chosen, "--output", tmp_path / "runs" / path.name)
        found[path.name] = safetensors.torch.load_file(
            tmp_path / "runs" / path.name / "adapter" / "adapter.safetensors"
        )
    assert len(found) == 9
    for name, tensors in found.items():
        assert tensors.keys() == found["a.csv"].keys(), name
        assert all(torch.equal(tensor, found["a.csv"][key]) for key, tensor in tensors.items()), name


@pytest.mark.parametrize(
    ("recipe", "changes", "words"),
    [
        ("own_classification", {"task__text": "reveiw"}, "no column 'reveiw'; did you mean 'review'?"),
        ("own_classification", {"task__label": "id"}, "training rows has a label of its own"),
        ("own_classification", {"data__valid": "x.csv"}, "x.csv: no such file (data.valid)"),
        ("own_classification", {"data__format": "jsonl"}, "reviews.csv:1: not valid JSON"),
        ("own_regression", {}, "reviews.csv:2: stars 'one' is not a number"),
        ("own_generation", {"task__prompt": "Q: {reviews}"}, "no column 'reviews'; did you mean 'review'?"),
    ],
)
def test_mistakes_in_rows_are_said_before_the_base_is_loaded(
    recipe: str, changes: dict[str, str], words: str, cli: Run, encoder: Path, tmp_path: Path, gpt2_base: Path
) -> None:
    rows = [row | {"stars": "one"} if recipe == "own_regression" else row for row in reviews(30)]
    train = write_csv(tmp_path / "reviews.csv", rows)
    columns = REVIEWS if recipe != "own_generation" else {"task__completion": "stars"}
    base = gpt2_base if recipe == "own_generation" else encoder
    chosen = settings(base, train, **(columns | changes))
    error = cli("train", recipe, *chosen, "--output", tmp_path / "run", code=3).stderr
    assert words in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"task__name": "clasification"},
            "unknown task 'clasification'; one of classification, multilabel, regression, generation, chat, text, e2e",
        ),
        ({"task__name": "clasification"}, "did you mean 'classification'?"),
        ({"task__name": "mnlli"}, "did you mean 'mnli'?"),
        ({"task__txt": "review"}, "unknown key; did you mean 'text'?"),
        ({"task__headline": "acuracy"}, "[task] headline: no score 'acuracy'; did you mean 'accuracy'?"),
        ({"task__metrics": '["pearson"]'}, "metric 'pearson' compares scores"),
        ({"data__format": "cvs"}, "[data] format: no format 'cvs'; did you mean 'csv'?"),
        ({"data__valid": "1.5"}, "must be a file, or a share of the training rows such as 0.1; got 1.5"),
    ],
)
def test_mistakes_in_the_recipe(
    changes: dict[str, str], words: str, cli: Run, encoder: Path, tmp_path: Path
) -> None:
    train = write_csv(tmp_path / "reviews.csv", reviews(30))
    chosen = settings(encoder, train, **(REVIEWS | changes))
    assert words in cli("train", "own_classification", *chosen, "--output", tmp_path / "run", code=2).stderr
