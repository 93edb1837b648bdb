"""Every run of a family leaves what it leaves alone, whatever happens to the others and to the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafit.errors import DivergedError, InterruptedRunError
from lorafit.run.files.paths import run_folders
from lorafit.run.files.summary import summarize
from lorafit.run.plan import load_plan
from lorafit.run.train import TrainResult
from lorafit.sweep.groups import group
from lorafit.training import ProcessGroup, compiled
from tests.support.stops import StopAt
from tests.sweep.conftest import Families, assert_same_runs

FAMILY: dict[str, dict[str, Any]] = {
    "first": {},
    "fast": {"train.learning_rate": 0.03, "train.seed": 1, "method.dropout": 0.2},
    "wide": {"method.r": 8, "method.alpha": 8, "method.init": "paper-gpt2", "train.epochs": 1},
}


def test_each_run_is_what_it_is_alone(texts: Callable[..., Families]) -> None:
    families = texts(eval__score_base="true", train__patience=1)
    together = families.together(FAMILY)
    for name, changes in FAMILY.items():
        assert isinstance(together[name], TrainResult)
        assert_same_runs(families.folder / "together" / name, families.alone(name, changes))
    again = families.together(FAMILY)
    assert all(isinstance(each, TrainResult) and each.already_finished for each in again.values())


VARIANTS: dict[str, dict[str, Any]] = {
    "lora": {"train.lora_plus_ratio": 4.0},
    "dora": {"method.dora": "true", "method.scaling": "rslora"},
    "pissa": {"method.init": "pissa", "method.r": '{"h.0.*" = 2, default = 4}'},
}


@pytest.mark.parametrize("quantize", ["", "nf4"])
def test_so_is_each_variant(texts: Callable[..., Families], quantize: str) -> None:
    in_4_bits = {"model__quantize": quantize, "model__dtype": "float32"} if quantize else {}
    families = texts(train__epochs=1, **in_4_bits)
    family = {name: changes for name, changes in VARIANTS.items() if name != "pissa" or not quantize}
    families.together(family)
    for name, changes in family.items():
        assert_same_runs(families.folder / "together" / name, families.alone(name, changes))


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("roberta", {}),  # together; a fresh head for each seed
        ("roberta", {"train__gradient_checkpointing": "true"}),
        ("deberta-v2", {"method__targets": '["query", "value"]'}),  # in turns: it is padded
        ("bert", {"method__also_train": '["LayerNorm"]'}),  # in turns
    ],
)
def test_heads_and_bases_that_cannot_share_a_row(
    labels: Callable[..., Families], model_type: str, changes: dict[str, Any]
) -> None:
    families = labels(model_type, **changes)
    family: dict[str, dict[str, Any]] = {
        "a": {"train.seed": 3},
        "b": {"train.seed": 4, "train.label_smoothing": 0.1},
    }
    families.together(family)
    for name, settings in family.items():
        assert_same_runs(families.folder / "together" / name, families.alone(name, settings))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_trains_whole_is_each_ones_own(texts: Callable[..., Families], dtype: str) -> None:
    """Also where it is a part of a layer or a norm, or where the others leave it as it is."""
    families = texts(train__epochs=1, model__dtype=dtype, train__learning_rate=0.01)
    family: dict[str, dict[str, Any]] = {
        "biases": {"method.also_train": '["*.bias"]'},
        "again": {"method.also_train": '["*.bias"]', "train.seed": 3},
        "nothing": {},
        "gains": {"method.also_train": '["*ln_1.weight", "lm_head"]'},
    }
    families.together(family)
    for name, changes in family.items():
        assert_same_runs(families.folder / "together" / name, families.alone(name, changes))


def test_another_method_or_dropout_of_the_base_is_another_group(labels: Callable[..., Families]) -> None:
    families = labels()
    family: dict[str, dict[str, Any]] = {"a": {}, "b": {"model.dropout": 0.2}, "c": {"train.seed": 5}}
    bare = ["unset=method.r", "unset=method.alpha", "unset=method.targets", "method.name=bitfit"]
    bitfit = [load_plan(families.recipe, [*families.overrides, *bare, f"train.seed={n}"]) for n in (0, 1)]
    groups = group([*map(families.plan, family.values()), *bitfit])
    assert [(each.members, each.way) for each in groups] == [
        ((0, 2), "together"),
        ((1,), "apart"),
        ((3, 4), "apart"),
    ]
    families.together(family)
    assert_same_runs(families.folder / "together" / "b", families.alone("b", family["b"]))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch hides it itself
def test_runs_with_compiled_blocks_are_trained_one_by_one(
    texts: Callable[..., Families], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    families = texts(train__max_steps=2, train__compile="true")
    family: dict[str, dict[str, Any]] = {"a": {}, "b": {"method.r": 2, "train.seed": 3}}
    [both] = group([*map(families.plan, family.values())])
    assert (both.way, both.why) == ("apart", "the graphs are of one run's adapter (train.compile)")
    families.together(family)
    assert_same_runs(families.folder / "together" / "b", families.alone("b", family["b"]))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_whose_validation_is_no_number_ends_alone(texts: Callable[..., Families], dtype: str) -> None:
    families = texts(train__max_steps=1, train__warmup_steps=0, model__dtype=dtype)
    outcomes = families.together({"first": {}, "wild": {"train.learning_rate": 1e30}})
    assert isinstance(error := outcomes["wild"], DivergedError)
    assert error.message.startswith("epoch 1: the validation loss is nan")
    assert_same_runs(families.folder / "together" / "first", families.alone("first", {}))
    with pytest.raises(DivergedError, match="epoch 1: the validation loss is nan"):
        families.alone("wild", {"train.learning_rate": 1e30})


def test_a_run_without_validation_that_answers_with_nan_ends_alone(texts: Callable[..., Families]) -> None:
    """Nothing tells it before its adapter is written."""
    families = texts(train__max_steps=1, train__warmup_steps=0)
    split = [text for text in families.overrides if not text.startswith("data.dir=")]
    data = next(text.partition("=")[2] for text in families.overrides if text.startswith("data.dir="))
    families.overrides = [*split, f"data.train={data}/train.txt", f"data.test={data}/test.txt"]
    outcomes = families.together(
        {"first": {}, "wild": {"train.learning_rate": 1e30}, "other": {"train.seed": 4}}
    )
    assert isinstance(error := outcomes["wild"], DivergedError)
    assert error.message == "step 1: the adapter answers with NaN"
    assert not (families.folder / "together" / "wild" / "adapter").exists()
    assert_same_runs(families.folder / "together" / "other", families.alone("other", {"train.seed": 4}))


@pytest.mark.parametrize("task", ["sst2", "stsb"])
def test_a_classifier_whose_answers_are_no_numbers_ends_alone(
    labels: Callable[..., Families], task: str, tmp_path: Path
) -> None:
    families = labels(train__max_steps=1, train__warmup_ratio=0.0)
    if task == "stsb":
        families.recipe, families.overrides = (
            "stsb_roberta_base",
            [*families.overrides, "unset=method.init_from"],
        )
        (folder := tmp_path / "glue" / "STS-B").mkdir()
        rows = [f"Anna saw a film\tfilm {score}\t{score}" for score in (4.5, 0.5) * 8]
        for name in ("train", "dev"):
            (folder / f"{name}.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]) + "\n")
    outcomes = families.together(
        {"first": {}, "wild": {"train.learning_rate": 1e30}, "other": {"train.seed": 4}}
    )
    assert isinstance(error := outcomes["wild"], DivergedError)
    assert error.message.startswith("epoch 1: the validation loss is nan")
    assert_same_runs(families.folder / "together" / "other", families.alone("other", {"train.seed": 4}))


def test_at_learning_rate_10_a_run_diverges_and_ends_alone(texts: Callable[..., Families]) -> None:
    """In float32: rounded to bfloat16, this very run stays below what is no number (its norms tame what they read), and
    ends with a useless adapter. The formats have the same exponents, and the test above has what both overflow at."""
    families = texts(train__epochs=4, model__dropout=0.0)
    everywhere = '["query", "key", "value", "output", "up", "down"]'
    wild = {
        "train.learning_rate": 10,
        "train.warmup_steps": 0,
        "method.alpha": 1e6,  # so that a tiny model overflows too, on every processor
        "method.targets": everywhere,
        "method.dropout": 0,
    }
    family = {"first": FAMILY["first"], "wild": wild, "wide": FAMILY["wide"]}
    error = families.together(family)["wild"]
    assert isinstance(error, DivergedError)
    assert any(note.startswith("wild: diverged: step ") for note in families.notes)
    states = {path.name: summarize(path).state for path in run_folders(families.folder / "together")}
    assert states == {"first": "finished", "wild": "diverged", "wide": "finished"}

    log = (families.folder / "together" / "wild" / "metrics.jsonl").read_bytes()
    again = families.together(family)["wild"]
    assert isinstance(again, DivergedError)
    assert again.message == error.message
    assert families.notes[-1] == f"wild: diverged before: {error.message}"
    assert (families.folder / "together" / "wild" / "metrics.jsonl").read_bytes() == log, "not trained again"

    families.together({name: FAMILY[name] for name in ("first", "wide")}, "without")
    for name in ("first", "wide"):
        assert_same_runs(families.folder / "together" / name, families.folder / "without" / name)


def test_stopped_anywhere_and_resumed_it_is_the_same(texts: Callable[..., Families]) -> None:
    families = texts()
    families.together(FAMILY, "whole")
    num_stops = 0
    for n in (1, 4, 6, 3, 5, 2, 100):
        try:
            families.together(FAMILY, "stopped", ProcessGroup(StopAt(n)), at_once=2 if n % 2 else None)
        except InterruptedRunError:
            num_stops += 1
        else:
            break
    assert num_stops > 3
    for name in FAMILY:
        stopped, whole = (families.folder / under / name for under in ("stopped", "whole"))
        assert_same_runs(stopped, whole, ("step", "validation", "score", "finished"))
