"""Every run of a family leaves what it leaves alone, whatever happens to the others and to the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lorafit.errors import DivergedError, InterruptedRunError
from lorafit.run.files.paths import run_folders
from lorafit.run.files.summary import summarize
from lorafit.run.plan import load_plan
from lorafit.run.train import TrainResult
from lorafit.sweep.groups import group
from lorafit.training import ProcessGroup
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


def test_at_learning_rate_10_a_run_diverges_and_ends_alone(texts: Callable[..., Families]) -> None:
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
