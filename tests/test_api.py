"""The Python interface: the command line's numbers and files, and nothing imported before it is used.

tests/docs runs its page.
"""

from __future__ import annotations

import csv
import json
import logging
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import lorafit
from lorafit.api import TrainResult
from lorafit.errors import AdapterError, DataError, NotFoundError, RecipeError
from lorafit.run.events import Note, Stepped
from tests.conftest import CONTEXTS
from tests.support.run_folders import e2e_scores, write_run
from tests.support.tiny_encoders import save_encoder, sentences

ROOT = Path(__file__).resolve().parents[1]
STARS = ("1", "5")
Run = Callable[..., Any]


def text_overrides(base: Path, data: Path) -> dict[str, object]:
    return {
        "model.base": base,
        "data.dir": data,
        "train.epochs": 1,
        "train.warmup_steps": 2,
        "train.learning_rate": 0.01,
        "decode.num_beams": 2,
        "decode.max_new_tokens": 8,
        "decode.eos_token_ids": [0],
        "eval.metrics": ("bleu",),
    }


def flags(overrides: dict[str, object]) -> list[str]:
    """The same as options of the command line."""
    values = {
        key: json.dumps(value) if isinstance(value, list | tuple) else value
        for key, value in overrides.items()
    }
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


def write_reviews(path: Path, rows: Sequence[tuple[str, int]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("review", "stars"))
        plain = [(text.replace(" and so on", ""), label) for text, label in rows]  # lengths tell nothing
        writer.writerows((f"{text} {i}", STARS[label]) for i, (text, label) in enumerate(plain))
    return path


def prediction_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tensors(adapter: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(adapter / "adapter.safetensors")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("base"), "roberta")


@pytest.fixture(scope="module")
def texts(gpt2_base: Path, e2e_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A run that writes texts."""
    output = tmp_path_factory.mktemp("texts") / "run"
    return lorafit.train("e2e_gpt2m", text_overrides(gpt2_base, e2e_dir), output=output)


@pytest.fixture(scope="module")
def labels(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A run that gives labels."""
    folder = tmp_path_factory.mktemp("labels")
    overrides = {
        "model.base": encoder,
        "data.train": write_reviews(folder / "reviews.csv", sentences(120)),
        "data.valid": 0.2,
        "data.max_length": 32,
        "task.text": "review",
        "task.label": "stars",
        "train.learning_rate": 0.01,
    }
    return lorafit.train("own_classification", overrides, output=folder / "run")


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    program = """
import sys, lorafit
heavy = {'torch', 'transformers', 'pydantic', 'numpy', 'lorafit.api'}
assert not heavy & set(sys.modules)
assert lorafit.__version__ and set(lorafit.__all__) <= set(dir(lorafit))
assert not heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    assert lorafit.train is lorafit.api.train


def test_all_that_is_offered_is_there() -> None:
    assert all(getattr(lorafit, name) is not None for name in lorafit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        lorafit.__getattr__("trian")


def test_types_travel_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["lorafit"]
    assert (ROOT / "lorafit" / "py.typed").is_file()


def test_train_is_the_command(
    cli: Run, texts: TrainResult, gpt2_base: Path, e2e_dir: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    cli("train", "e2e_gpt2m", *flags(text_overrides(gpt2_base, e2e_dir)), "--output", run)
    ours, theirs = tensors(texts.adapter), tensors(run / "adapter")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for name in ("recipe.toml", "scores.json", "predictions/test.jsonl"):
        assert (texts.run / name).read_bytes() == (run / name).read_bytes()
    assert {path.name for path in texts.run.iterdir()} == {path.name for path in run.iterdir()}


def test_the_report_hears_every_step_and_a_finished_run_is_returned(
    texts: TrainResult, gpt2_base: Path, e2e_dir: Path, tmp_path: Path
) -> None:
    heard: list[Any] = []
    overrides = text_overrides(gpt2_base, e2e_dir) | {"train.max_steps": 2}
    run = lorafit.train("e2e_gpt2m", overrides, tmp_path / "run", heard.append)
    assert [event.step for event in heard if isinstance(event, Stepped)] == [1, 2]
    assert not run.already_finished

    again = lorafit.train("e2e_gpt2m", text_overrides(gpt2_base, e2e_dir), texts.run, heard.append)
    assert again.already_finished
    assert again.scores == texts.scores


def test_overrides_are_values(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"override train\.epoch: unknown key; did you mean 'epochs'\?"):
        lorafit.train("quickstart", {"train.epoch": 2}, tmp_path)
    with pytest.raises(RecipeError, match=r"override train\.seed: <object .* must be a text, a number"):
        lorafit.train("quickstart", {"train.seed": object()}, tmp_path)
    with pytest.raises(RecipeError, match=r"override epochs=2: must read section\.key=value"):
        lorafit.train("quickstart", {"epochs": 2}, tmp_path)
    with pytest.raises(NotFoundError, match="quickstrat"):
        lorafit.train("quickstrat")


def test_texts_are_those_of_the_command(cli: Run, texts: TrainResult) -> None:
    contexts = [CONTEXTS[0], CONTEXTS[18], CONTEXTS[0]]
    shown = json.loads(cli("predict", texts.adapter, *contexts, "--json").stdout)
    wanted = [line["prediction"] for line in shown]
    predictor = lorafit.load(texts.adapter)
    assert predictor.labels is None
    assert predictor.predict(contexts) == wanted
    assert predictor.predict([{"prompt": context} for context in contexts], batch_size=1) == wanted
    assert predictor.predict([]) == []
    greedy = json.loads(cli("predict", texts.adapter, *contexts, "--strategy", "greedy", "--json").stdout)
    sampled = predictor.predict(contexts, lorafit.Sampling("greedy"))
    assert sampled == [line["prediction"] for line in greedy]


def test_the_predictions_of_a_split_come_out_again(texts: TrainResult, labels: TrainResult) -> None:
    for run, split in ((texts, "test"), (labels, "valid")):
        lines = prediction_lines(run.run / "predictions" / f"{split}.jsonl")
        predictor = lorafit.load(run.adapter)
        assert predictor.predict([line["input"] for line in lines]) == [line["prediction"] for line in lines]


def test_labels_are_names(cli: Run, labels: TrainResult) -> None:
    predictor = lorafit.load(labels.adapter)
    assert predictor.labels == STARS == predictor.task.labels
    assert predictor.model.net.config.num_labels == 2
    reviews = [text for text, _ in sentences(8)]
    answers = predictor.predict(reviews)
    assert set(answers) == set(STARS)
    assert predictor.predict([{"review": text, "stars": "?"} for text in reviews]) == answers
    assert cli("predict", labels.adapter, *reviews).stdout.split() == answers
    with pytest.raises(RecipeError, match="gives labels, and only texts are sampled"):
        predictor.predict(reviews, lorafit.Sampling("greedy"))


def test_pairs_get_scores(encoder: Path, tmp_path: Path) -> None:
    rows = [
        {"a": a, "b": b, "grade": 4.5 if x == y else 0.5}
        for (a, x), (b, y) in zip(sentences(40), sentences(41)[1:], strict=True)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    overrides = {
        "model.base": encoder,
        "data.train": tmp_path / "pairs.jsonl",
        "data.test": 0.2,
        "data.max_length": 32,
        "task.text": ["a", "b"],
        "task.label": "grade",
        "train.max_steps": 3,
    }
    run = lorafit.train("own_regression", overrides, tmp_path / "run")
    predictor = lorafit.load(run.adapter)
    lines = prediction_lines(run.run / "predictions" / "test.jsonl")
    assert predictor.predict([line["input"] for line in lines]) == pytest.approx(
        [line["prediction"] for line in lines], abs=1e-5
    )
    with pytest.raises(DataError, match=r"inputs\[0\]: the task reads a and b, and this is one text"):
        predictor.predict(["alone"])


def test_inputs_that_cannot_be_read(texts: TrainResult) -> None:
    predictor = lorafit.load(texts.adapter)
    with pytest.raises(DataError) as raised:
        predictor.predict(["fine", {"promt": "x"}, "  ", {"prompt": None}])
    assert [error.where for error in raised.value.parts] == ["inputs[1]", "inputs[2]", "inputs[3]"]
    assert "no column 'prompt'; did you mean 'promt'?" in str(raised.value)
    with pytest.raises(RecipeError, match="must be a list of inputs"):
        predictor.predict("a text alone")


def test_evaluate_is_the_command(cli: Run, labels: TrainResult, tmp_path: Path) -> None:
    new = write_reviews(tmp_path / "new.csv", sentences(12))
    cli("eval", labels.adapter, "--data", new, "--output", tmp_path / "cli")
    before = set(labels.run.iterdir())
    ours = lorafit.load(labels.adapter).evaluate(data=new, output=tmp_path / "api")
    for name in ("scores.json", "predictions.jsonl"):
        assert (tmp_path / "api" / name).read_bytes() == (tmp_path / "cli" / name).read_bytes()
    assert ours == json.loads((tmp_path / "cli" / "scores.json").read_text())

    asked = lorafit.evaluate(labels.adapter, data=str(new), metrics=["accuracy"])
    assert asked["scores"] == {"accuracy": ours["scores"]["accuracy"]}
    assert lorafit.evaluate(labels.adapter, "valid")["scores"] == labels.scores["scores"]
    assert set(labels.run.iterdir()) == before  # nothing is written unasked
    with pytest.raises(RecipeError, match="'acuracy'; did you mean 'accuracy'"):
        lorafit.evaluate(labels.adapter, "valid", metrics=["acuracy"])


def test_one_predictor_predicts_and_evaluates_in_any_order(texts: TrainResult) -> None:
    predictor = lorafit.load(texts.adapter)
    first = predictor.predict(CONTEXTS[:2])
    scores = predictor.evaluate(metrics=["bleu"])["scores"]
    assert scores == texts.scores["scores"]
    assert predictor.predict(CONTEXTS[:2]) == first
    assert predictor.evaluate(metrics=["bleu"])["scores"] == scores


def test_merge_and_export_are_the_commands(cli: Run, texts: TrainResult, tmp_path: Path) -> None:
    result = lorafit.merge(texts.adapter, tmp_path / "api")
    cli("merge", texts.adapter, tmp_path / "cli")
    assert (tmp_path / "api" / "model.safetensors").read_bytes() == (
        tmp_path / "cli" / "model.safetensors"
    ).read_bytes()
    assert result.answers is not None
    assert result.answers.max_difference <= result.answers.allowed
    with pytest.raises(RecipeError, match="number format"):
        lorafit.merge(texts.adapter, tmp_path / "other", dtype="float23")

    exported = lorafit.export(texts.adapter, str(tmp_path / "peft"))
    cli("export", texts.adapter, tmp_path / "peft-cli", "--format", exported.format)
    files = sorted(path.name for path in (tmp_path / "peft-cli").iterdir())
    assert files == sorted(path.name for path in exported.folder.iterdir())
    assert all(
        (exported.folder / name).read_bytes() == (tmp_path / "peft-cli" / name).read_bytes() for name in files
    )
    with pytest.raises(RecipeError, match="no adapter format 'pefd'; did you mean 'peft'"):
        lorafit.export(texts.adapter, tmp_path / "x", format="pefd")


def test_what_cannot_be_loaded(texts: TrainResult, make_base: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        lorafit.load(tmp_path)
    other = str(make_base("gpt2", seed=1))
    with pytest.raises(AdapterError, match="wrong base"):
        lorafit.load(texts.adapter, other)
    assert lorafit.load(texts.adapter, other, force=True).predict(CONTEXTS[:1])


class _Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def test_notes_are_warnings_of_the_logger_unless_someone_listens(
    texts: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # so that there is no Java
    logger, kept = logging.getLogger("lorafit"), _Kept()
    monkeypatch.setattr(logger, "handlers", [kept])
    scores = lorafit.evaluate(texts.adapter, metrics=["bleu", "meteor"])
    told = [record.getMessage() for record in kept.records]
    heard: list[Any] = []
    lorafit.load(texts.adapter, report=heard.append).evaluate(metrics=["bleu", "meteor"])
    assert {record.levelno for record in kept.records} == {logging.WARNING}
    assert scores["scores"]["meteor"] is None
    assert told
    assert told[0].startswith("meteor will not be computed")
    assert told == [event.text for event in heard if isinstance(event, Note)]
    assert len(kept.records) == len(told)


def test_a_page_is_the_command_lines(cli: Run, gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> None:
    made = lorafit.train("e2e_gpt2m", text_overrides(gpt2_base, e2e_dir), tmp_path / "runs" / "one").run
    for place in (made, made.parent):
        ours = lorafit.report(place, tmp_path / "ours.html")
        cli("report", place, "-o", tmp_path / "theirs.html")
        assert ours.read_bytes() == (tmp_path / "theirs.html").read_bytes()
    assert lorafit.report([made]) == made / "report.html"
    write_run(tmp_path / "paper", "e2e_gpt2m", 0, e2e_scores(70.0))
    table = lorafit.report(tmp_path / "paper", tmp_path / "table.html", table="3")
    cli("report", tmp_path / "paper", "--table", "3", "-o", tmp_path / "theirs.html")
    assert table.read_bytes() == (tmp_path / "theirs.html").read_bytes()
    with pytest.raises(NotFoundError, match="no run folder"):
        lorafit.report(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match="no table '4'"):
        lorafit.report(tmp_path / "paper", table="4")
