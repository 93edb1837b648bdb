"""Scoring files: those that a run has written give its numbers; others by rule, and none as what they are not."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafit.adapters import BaseChoice
from lorafit.errors import DataError, LorafitError, RecipeError, SetArgument
from lorafit.recipe import EvalSection, Split
from lorafit.run.options import TrainOptions
from lorafit.run.plan import load_plan
from lorafit.run.train import TrainResult, train
from lorafit.training import ProcessGroup
from lorafit.verbs.evaluate import EvaluateOptions, evaluate
from lorafit.verbs.score import ScoreOptions, score
from tests.support.glue_recipes import write_recipe
from tests.support.same_numbers.rows import write_glue, write_triples
from tests.support.tiny_encoders import save_encoder, sentences

TEXTS = ["Blue Spice is a coffee shop .", "Zizzi serves French food by the river .", "Giraffe is rated 5 ."]
RIGHT = [
    ["A coffee shop called Blue Spice .", "Blue Spice is a coffee shop ."],
    ["By the river , Zizzi ."],
    ["5 ."],
]
BLEU = ScoreOptions(metrics=["bleu"])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("base"), "roberta")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of the presets, and rows of one's own."""
    root = tmp_path_factory.mktemp("data")
    write_glue(root / "glue")
    write_triples(root / "triples")
    rows = [
        {
            "text": text,
            "prompt": f"say {i}",
            "label": 1.5 * label,
            "kind": ("no", "yes")[label],
            "where": "ab"[i % 2],
        }
        for i, (text, label) in enumerate(sentences(24))
    ]
    for name in ("train", "valid"):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


OWN_TEXT = {"task__completion": "text", "task__part": "where", "task__scorer": "webnlg-challenge"}
RUNS: dict[str, dict[str, Any]] = {
    "cola": {},
    "mnli": {},
    "stsb": {},
    "classification": {"task__label": "kind"},
    "regression": {"task__part": "where"},
    "generation": {**OWN_TEXT, "eval__metrics": ["bleu", "ter", "exact_match"]},
    "webnlg": {"eval__metrics": ["bleu", "chrf"]},
    "dart": {"eval__metrics": ["bleu"]},
}


@pytest.mark.parametrize("task", RUNS)
def test_a_file_of_a_run_gives_the_numbers_of_the_run(
    task: str, encoder: Path, gpt2_base: Path, data: Path, tmp_path: Path
) -> None:
    is_text = task in ("generation", "webnlg", "dart")
    folder = data / "triples" if task in ("webnlg", "dart") else data / "glue" if len(task) <= 4 else data
    changes = {"task__name": task, "train__max_steps": 2, "train__epochs": None, **RUNS[task]}
    if is_text:
        changes |= {
            "decode__num_beams": 1,
            "decode__max_new_tokens": 6,
            "decode__eos_token_ids": [0],
            "data__max_length": 96,
        }
    changes = {key: value for key, value in changes.items() if value is not None}
    recipe = write_recipe(tmp_path / "recipe.toml", gpt2_base if is_text else encoder, folder, **changes)
    plan = load_plan(str(recipe), [])
    result = train(plan, tmp_path / "run", lambda _: None, TrainOptions(), ProcessGroup())
    split = result.scores["split"]
    written = result.run / "predictions" / f"{split}.jsonl"
    assert_same(task, written, result)
    evaluation(result, split)
    assert_same(task, tmp_path / "run" / "eval" / split / "predictions.jsonl", result)
    if task not in ("generation",):  # whose scorer stands in the recipe of the run alone
        shutil.copy(written, tmp_path / "moved.txt")
        options = ScoreOptions(metrics=plan.recipe.eval.metrics)
        assert (
            score(task, tmp_path / "moved.txt", [], options).scores.to_json()["scores"]
            == result.scores["scores"]
        )


def assert_same(task: str, written: Path, result: TrainResult) -> None:
    found = score(task, written, [], ScoreOptions()).scores.to_json()
    assert found == {key: result.scores[key] for key in found}


def evaluation(result: TrainResult, split: Split) -> None:
    names = tuple(result.scores["signatures"])
    options = EvaluateOptions(split)
    evaluate(
        result.adapter, BaseChoice(), options, EvalSection(metrics=names), lambda _: None, ProcessGroup()
    )


def rows_as(form: str, rows: list[dict[str, Any]]) -> bytes:
    """Rows in a file format."""
    if form in ("csv", "tsv"):
        stream = io.StringIO()
        writer = csv.DictWriter(stream, rows[0], delimiter="," if form == "csv" else "\t")
        writer.writeheader()
        writer.writerows(rows)
        return stream.getvalue().encode()
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return {"json": json.dumps(rows, indent=1).encode(), "jsonl.gz": gzip.compress(lines)}.get(form, lines)


@pytest.mark.parametrize("form", ["jsonl", "txt", "json", "csv", "tsv", "jsonl.gz"])
def test_rows_by_the_keys_that_are_named(form: str, tmp_path: Path) -> None:
    """`.txt`: an object on each line is no text, whatever the file is called."""
    rows = [
        {"id": i, "said": text, "wanted": right[0]}
        for i, (text, right) in enumerate(zip(TEXTS, RIGHT, strict=True))
    ]
    path = tmp_path / f"answers.{form}"
    path.write_bytes(rows_as(form, rows))
    texts, right = tmp_path / "texts", tmp_path / "right"
    texts.write_text("".join(f"{text}\n" for text in TEXTS))
    right.write_text("".join(f"{group[0]}\n" for group in RIGHT))
    wanted = score("e2e", texts, [right], BLEU).scores
    keys: dict[str, Any] = {"prediction_key": "said", "reference_key": "wanted"}
    assert score("e2e", path, [], ScoreOptions(metrics=["bleu"], **keys)).scores == wanted
    assert score("e2e", path, [right], ScoreOptions(metrics=["bleu"], prediction_key="said")).scores == wanted
    assert (
        score("e2e", texts, [path], ScoreOptions(metrics=["bleu"], reference_key="wanted")).scores == wanted
    )
    with pytest.raises(RecipeError, match=r"holds rows with the keys id, said, wanted") as caught:
        score("e2e", path, [right], BLEU)
    assert caught.value.remedies == (SetArgument("prediction_key"),)
    with pytest.raises(RecipeError, match=r"holds rows with the keys id, said, wanted") as caught:
        score("e2e", texts, [path], BLEU)
    assert caught.value.remedies == (SetArgument("reference_key"),)
    with pytest.raises(DataError, match=r"no 'spoken'; it has id, said, wanted"):
        score("e2e", path, [right], ScoreOptions(prediction_key="spoken"))


def test_several_right_answers_of_a_row(tmp_path: Path) -> None:
    path, texts, right = tmp_path / "p.jsonl", tmp_path / "texts", tmp_path / "right"
    rows = [{"said": text, "wanted": group} for text, group in zip(TEXTS, RIGHT, strict=True)]
    path.write_bytes(rows_as("jsonl", rows))
    texts.write_text("".join(f"{text}\n" for text in TEXTS))
    right.write_text("\n\n".join("\n".join(group) for group in RIGHT) + "\n")
    options = ScoreOptions(metrics=["bleu"], prediction_key="said", reference_key="wanted")
    assert score("e2e", path, [], options).scores == score("e2e", texts, [right], BLEU).scores


def test_labels_of_any_system(tmp_path: Path) -> None:
    rows = [{"mine": "good", "gold": "good"}, {"mine": "bad", "gold": "good"}, {"mine": "bad", "gold": "bad"}]
    path = tmp_path / "answers.csv"
    path.write_bytes(rows_as("csv", rows))
    keys = ScoreOptions(prediction_key="mine", reference_key="gold")
    assert score("classification", path, [], keys).scores.all["accuracy"] == pytest.approx(2 / 3)
    for key in ("mine", "gold"):
        (tmp_path / key).write_text("".join(f"{row[key]}\n" for row in rows))
    lines = score("classification", tmp_path / "mine", [tmp_path / "gold"], ScoreOptions()).scores
    assert lines == score("classification", path, [], keys).scores
    (tmp_path / "mine").write_text("acceptable\nworse\n1\n")
    with pytest.raises(DataError, match=r"mine:2: label 'worse' is none of unacceptable"):
        score("cola", tmp_path / "mine", [tmp_path / "gold"], ScoreOptions())


OURS = {"input": "a", "references": ["b c"], "prediction": "b"}
BROKEN: dict[str, tuple[str, str]] = {
    "broken line": (json.dumps(OURS) + '\n{"prediction": "b", \n', r"p:2: not valid JSON"),
    "mixed with text": (json.dumps(OURS) + "\njust text\n", r"p:2: not valid JSON"),
    "blank line inside": (json.dumps(OURS) + "\n\n" + json.dumps(OURS), r"p:2: a blank line"),
    "without the key": (
        json.dumps(OURS) + '\n{"input": "a", "references": ["b"]}\n',
        r"p:2: no 'prediction'",
    ),
    "no text": (json.dumps(OURS | {"prediction": 3}), r"p:1: prediction: 3 is not a text"),
    "no texts": (json.dumps(OURS | {"references": [None]}), r"p:1: references: None is not a text"),
    "arrays": ('["a", "b"]\n["c", "d"]\n', r"p: holds a JSON array a line"),
    "an object": (json.dumps(OURS, indent=1), r"p: holds one JSON value"),
    "texts in an array": (json.dumps(TEXTS), r"p: holds one JSON value"),
    "columns": ("id\ttext\n1\ta b c\n2\td e f\n", r"p: holds 2 columns with tabs between"),
    "xml": ("<?xml version='1.0'?>\n<a/>\n", r"p: holds XML"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_no_text_is_never_scored_as_text(fault: str, tmp_path: Path) -> None:
    """As predictions, and as right answers."""
    content, message = BROKEN[fault]
    path, texts = tmp_path / "p", tmp_path / "texts"
    path.write_text(content)
    texts.write_text("a\n" * (content.count("\n") or 1))
    with pytest.raises(LorafitError, match=message):
        score("e2e", path, [], BLEU)
    if "'prediction'" in message or "prediction:" in message:
        return
    with pytest.raises(LorafitError, match=message):
        score("e2e", texts, [path], BLEU)


@pytest.mark.parametrize(
    "text", ["{name} is {food}", "[1] as they say", '"quoted" , he said', "a\tb", "{", "x,y"]
)
def test_text_that_looks_like_something_else_is_text(text: str, tmp_path: Path) -> None:
    path, right = tmp_path / "texts", tmp_path / "right"
    path.write_text(f"{text} and more words\nplain words and more\n")
    right.write_text(f"{text} and more words\nplain words and more\n")
    assert score("e2e", path, [right], BLEU).scores.all["bleu"] == pytest.approx(100)


def test_the_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"said": "b", "wanted": "b"}) + "\n")
    done = cli("score", "generation", path, code=2)
    assert (
        done.stderr
        == f"error: {path}: holds rows with the keys said, wanted, and not lines of text; use --prediction-key …\n"
    )
    keys = ("--prediction-key", "said", "--reference-key", "wanted", "--metric", "exact_match", "--json")
    assert json.loads(cli("score", "generation", path, *keys).stdout)["scores"] == {"exact_match": 1.0}
