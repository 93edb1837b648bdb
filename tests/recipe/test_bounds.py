"""Numbers that cannot be meant are refused where they are given, with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lorafit
from lorafit import lora
from lorafit.data.order import Mix, Order
from lorafit.errors import RecipeError
from lorafit.methods import METHODS
from lorafit.recipe import Recipe, Section, TrainSection
from lorafit.run.plan import make_schedule
from lorafit.run.recipes import open_recipe
from lorafit.tasks import TASKS
from tests.conftest import recipe_overrides

SECTIONS = [
    kind
    for field in Recipe.model_fields.values()
    if isinstance(kind := field.annotation, type) and issubclass(kind, Section)
]
GREATEST = 2**63 - 1


def numbers(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every number in a JSON schema."""
    if schema.get("type") in ("integer", "number"):
        yield schema
    for key in ("anyOf", "prefixItems"):
        for each in schema.get(key, ()):
            yield from numbers(each)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from numbers(schema[key])


FIELDS: list[tuple[type[Section], str, dict[str, Any]]] = [
    (section, name, number)
    for section in (*SECTIONS, *METHODS.values(), *TASKS.values())
    for name, schema in section.model_json_schema()["properties"].items()
    for number in numbers(schema)
]


@pytest.mark.parametrize(
    ("section", "name", "number"), FIELDS, ids=lambda v: getattr(v, "__name__", str(v)[:20])
)
def test_every_whole_number_has_a_greatest(section: type[Section], name: str, number: dict[str, Any]) -> None:
    assert number["type"] == "number" or number["maximum"] <= GREATEST, (section, name)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("section", list(dict.fromkeys(section for section, _, _ in FIELDS)))
def test_no_number_is_infinite_or_none(section: type[Section], value: float) -> None:
    for name in {name for kind, name, _ in FIELDS if kind is section}:
        for given in (value, (value, value), {"bleu": value}):
            with pytest.raises(ValueError, match=rf"(?s){name}"):
                section.model_validate({name: given})


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "train.max_steps=100000000000000000000",
            "at most 1,000,000,000 (at a thousand steps a second that is",
        ),
        ("train.epochs=1e20", "at most 1,000,000.0 (rows that were read a million times"),
        ("train.batch_size=2000000", "at most 1,000,000 ("),
        ("train.learning_rate=inf", "must be a finite number; got inf"),
        (
            "train.seed=9223372036854775808",
            "at most 9,223,372,036,854,775,807 (random generators take 64 bits)",
        ),
        ("method.r=1000000", "at most 65,536 (no base is as wide)"),
        ("data.max_length=99999999", "at most 10,000,000 ("),
        ("decode.length_penalty=31", "at most 30.0 ("),
        (f"train.max_steps={'9' * 400}", f"got {'9' * 40}"),
        (f"train.max_steps={'9' * 5000}", "must be a whole number; got '999"),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused(setting: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        open_recipe("e2e_gpt2m", [setting])
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_the_base_makes_meaningless_is_refused_before_weights(
    cli: Callable[..., Any], gpt2_base: Path, e2e_dir: Path
) -> None:
    def error(**keys: Any) -> str:
        overrides = recipe_overrides(gpt2_base, e2e_dir, **keys)
        return cli("train", "e2e_gpt2m", *overrides, "--dry-run", code=2).stderr

    assert (
        "[method] r: 33 is more than an update of transformer.h.0.attn.c_attn can have; its full rank is 32"
        in (error(method__r=33))
    )
    assert "[decode] num_beams: every one of 9,999 beams begins with a token of its own" in (
        error(decode__num_beams=9999)
    )
    section = TrainSection(epochs=1e6, batch_size=1, learning_rate=1.0)
    with pytest.raises(
        RecipeError, match=r"epochs: 1e.06 of 10,000 steps each are more than 1,000,000,000 steps"
    ):
        make_schedule(section, Order(section, Mix((10_000,))))
    cli("train", "e2e_gpt2m", *recipe_overrides(gpt2_base, e2e_dir, method__r=32), "--dry-run")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"temperature": math.inf}, "temperature: must be a finite number greater than 0"),
        ({"temperature": math.nan}, "temperature: "),
        ({"temperature": 0.0}, "temperature: "),
        ({"top_p": 1.5}, "top_p: must be greater than 0 and at most 1"),
        ({"top_p": math.nan}, "top_p: "),
        ({"seed": 2**63}, "seed: must be from 0 to 9223372036854775807 (random generators take 64 bits)"),
        ({"max_new_tokens": 10**9}, "max_new_tokens: must be from 1 to 1,000,000"),
    ],
)
def test_sampling_has_numbers_that_can_be_meant(
    cli: Callable[..., Any], keys: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        lorafit.Sampling("sample", **keys)
    assert str(caught.value).startswith(said)
    [(name, value)] = keys.items()
    option = f"--{name.replace('_', '-')}"
    error = cli("predict", "nowhere", "a", option, str(value), code=2).stderr
    assert f"; choose another {option}\n" in error


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "a", "--batch-size", "100000000000000000000"),
        ("predict", "a", "b", "--batch-size", "0"),
        ("compare", "a", "b", "--samples", "100000000000000000000"),
        ("repro", "table2", "--jobs", "100000000000000000000"),
        ("train", "quickstart", "--time-limit", f"{'9' * 400}h"),
        ("train", "quickstart", "--time-limit", "1:75:00"),
        ("train", "quickstart", "--seed", "9223372036854775808"),
        ("train", "quickstart", "--seeds", f"1,{'9' * 5000}"),
        ("train", "quickstart", "--extend", "epochs=inf"),
        ("merge", "a", "b", "--max-shard-size", f"{'9' * 400}GB"),
        ("merge", "a", "b", "--max-shard-size", "0.001B"),
        ("import", "a", "b", "--format", "loralib", "--base", "c", "--alpha", "inf"),
        ("import", "a", "b", "--format", "loralib", "--base", "c", "--alpha", "-1"),
    ],
)
def test_options_have_numbers_that_can_be_meant(cli: Callable[..., Any], command: tuple[str, ...]) -> None:
    assert len(cli(*command, code=2).stderr) < 1500


@pytest.mark.parametrize(
    ("layer", "full_rank"),
    [
        (lora.Linear(6, 4, r=1), 4),
        (lora.MergedLinear(6, 9, r=1, enable_lora=[True, False, True]), 3),
        (lora.Embedding(50, 8, r=1), 8),
        (lora.Conv2d(5, 7, 3, r=1), 5),
    ],
)
def test_the_full_rank_of_an_update(layer: lora.LoRALayer, full_rank: int) -> None:
    """With that r any change of the weight can be had, and no matrix has more dimensions."""
    assert layer.full_rank == full_rank
    a, b = layer.lora_A, layer.lora_B
    assert min(a.shape[1], b.shape[0]) >= full_rank
