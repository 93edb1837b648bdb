"""`train`, `eval` and `predict` give one number: in every number format, for every kind of task and every method."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

import lorafit
from lorafit.adapters import BaseChoice, read_adapter
from lorafit.recipe import EvalSection, Split
from lorafit.run.events import Event, Validated
from lorafit.run.options import TrainOptions
from lorafit.run.plan import load_plan
from lorafit.run.train import TrainResult, train
from lorafit.training import ProcessGroup
from lorafit.verbs.evaluate import EvaluateOptions, evaluate
from tests.run.conftest import Runner
from tests.support.glue_recipes import write_recipe
from tests.support.tiny_encoders import save_encoder, sentences, write_sst2

TEXT_METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method__r": 2, "method__targets": ["query", "value", "output"]},
    "full": {},
    "prefix": {"method__length": 2, "method__hidden": 4},
    "adapter": {"method__variant": "lin", "method__size": 3},
}
LABEL_METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method__r": 2, "method__alpha": 8},
    "bitfit": {},
    "full": {},
    "prefix": {"method__length": 2, "method__hidden": 4},
    "adapter": {"method__size": 3},
}


def in_every_format(methods: Iterable[str]) -> list[tuple[str, str]]:
    """Methods with number formats; what "auto" stands for depends on base and machine, and on no method."""
    return [("lora", "auto"), *itertools.product(methods, ("float32", "bfloat16"))]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("base"), "roberta")


@pytest.fixture(scope="module")
def glue_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sst2(tmp_path_factory.mktemp("glue"), num_train=24, num_valid=16)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_eval_repeats(result: TrainResult, split: Split, output: Path) -> list[dict[str, Any]]:
    """The scores and every prediction of the run. Returns the predictions."""
    options = EvaluateOptions(split, output=output)
    again = evaluate(
        result.adapter,
        BaseChoice(),
        options,
        EvalSection(metrics=tuple(result.scores["scores"])),
        ignore,
        ProcessGroup(),
    )
    scored = {name: again.scores["scores"][name] for name in result.scores["scores"]}
    assert scored == result.scores["scores"]
    written = lines(result.run / "predictions" / f"{split}.jsonl")
    assert lines(output / "predictions.jsonl") == written
    return written


def ignore(event: Event) -> None:
    """What is said on the way."""


@pytest.mark.parametrize(("method", "dtype"), in_every_format(TEXT_METHODS))
def test_texts(dtype: str, method: str, runner: Callable[..., Runner], tmp_path: Path) -> None:
    run = runner("run", model__dtype=dtype, method__dropout=None)
    del run.changes["method__dropout"]
    result = run(method__name=method, eval__batch_size=2, train__epochs=1, **TEXT_METHODS[method])
    written = assert_eval_repeats(result, "test", tmp_path / "eval")
    card = read_adapter(result.adapter).card.arithmetic
    assert card is not None
    assert (card.dtype, card.batch_size) == ("bfloat16" if dtype == "bfloat16" else "float32", 2)
    predictor = lorafit.load(result.adapter)
    answers = predictor.predict([line["input"] for line in written], batch_size=2)
    assert answers == [line["prediction"] for line in written]


@pytest.mark.parametrize(("method", "dtype"), in_every_format(LABEL_METHODS))
def test_labels(dtype: str, method: str, encoder: Path, glue_dir: Path, tmp_path: Path) -> None:
    changes = {"method__name": method, "model__dtype": dtype, "train__epochs": 2, **LABEL_METHODS[method]}
    recipe = write_recipe(tmp_path / "labels.toml", encoder, glue_dir, **changes)
    drop = [] if method == "lora" else ["unset=method.r", "unset=method.alpha"]
    assert_one_number(recipe, drop, tmp_path)


@pytest.mark.parametrize("method", LABEL_METHODS | {"top2": {}})
def test_labels_are_learned_in_bfloat16_as_in_float32(method: str, encoder: Path, tmp_path: Path) -> None:
    """Step by step, and the head too: no product is with a weight as it once was."""
    losses = {}
    many_rows = write_sst2(tmp_path, num_train=96, num_valid=8)  # so that few epochs end
    for dtype in ("float32", "bfloat16"):
        changes = {
            "model__dtype": dtype,
            "train__epochs": 2,
            "train__learning_rate": 0.02,
            "train__shuffle": False,
        }
        recipe = write_recipe(
            tmp_path / f"{dtype}.toml",
            encoder,
            many_rows,
            method__name=method,
            **changes,
            **LABEL_METHODS.get(method, {}),
        )
        drop = [] if method == "lora" else ["unset=method.r", "unset=method.alpha"]
        plan = load_plan(str(recipe), drop)
        train(plan, tmp_path / dtype, ignore, TrainOptions(), ProcessGroup())
        steps = lines(tmp_path / dtype / "metrics.jsonl")
        losses[dtype] = [line["loss"] for line in steps if line["event"] == "step"]
    assert_followed(losses)


@pytest.mark.parametrize("method", TEXT_METHODS)
def test_texts_are_learned_in_bfloat16_as_in_float32(method: str, runner: Callable[..., Runner]) -> None:
    losses = {}
    for dtype in ("float32", "bfloat16"):
        run = runner(
            dtype, model__dtype=dtype, train__learning_rate=0.02, train__log_every=1, **TEXT_METHODS[method]
        )
        del run.changes["method__dropout"]
        run(method__name=method, train__epochs=4)
        losses[dtype] = [line["loss"] for line in run.events("step")]
    assert_followed(losses)


def assert_followed(losses: dict[str, list[float]]) -> None:
    """The losses move, and differ by little of that."""
    exact, rounded = (torch.tensor(losses[dtype]) for dtype in ("float32", "bfloat16"))
    moved = (exact - exact[0]).abs().mean()
    assert moved > 0.02
    assert (exact - rounded).abs().mean() < 0.15 * moved


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_scores(dtype: str, encoder: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "label": label + i % 3 / 8} for i, (text, label) in enumerate(sentences(24))]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {"model__dtype": dtype, "task__name": "regression", "data__valid": 0.4, "train__epochs": 2}
    recipe = write_recipe(tmp_path / "scores.toml", encoder, tmp_path, **changes)
    assert_one_number(recipe, [], tmp_path)


def assert_one_number(recipe: Path, overrides: list[str], folder: Path) -> None:
    """Of a task with labels, validation too."""
    seen: list[Event] = []
    plan = load_plan(str(recipe), overrides)
    result = train(plan, folder / "run", seen.append, TrainOptions(), ProcessGroup())
    best = [event for event in seen if isinstance(event, Validated) and event.best][-1]
    assert best.scores == result.scores["scores"]
    written = assert_eval_repeats(result, "valid", folder / "eval")
    answers = lorafit.load(result.adapter).predict([line["input"] for line in written])
    assert answers == [line["prediction"] for line in written]
