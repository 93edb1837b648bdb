"""A run does not start from an adapter of another base, whatever it learns and by which method."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from lorafit.adapters.restore import differing
from lorafit.methods import METHODS, Method
from lorafit.models import BaseIdentity
from lorafit.recipe import assignment
from lorafit.run.options import TrainOptions
from lorafit.run.plan import load_plan
from lorafit.run.train import train
from lorafit.tasks import make_task
from lorafit.training import ProcessGroup
from tests.support.adapter_fixtures import make_adapter
from tests.support.rows import save_rows
from tests.support.tiny_encoders import save_encoder

OPTIONS: dict[str, dict[str, Any]] = {
    "lora": {"r": 2, "targets": ("query", "value")},
    "prefix": {"length": 2, "hidden": 0},
    "adapter": {"size": 4},
    "top2": {"num_layers": 1},
}
TASKS: dict[str, dict[str, Any]] = {
    "generation": {},
    "chat": {"template": "plain"},
    "text": {},
    "classification": {"text": "text", "label": "label", "labels": ("a", "b")},
    "regression": {"text": "text", "label": "score"},
}
TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
ROWS = [
    {
        "prompt": "hi",
        "completion": "ho",
        "text": f"hi {i}",
        "label": "ab"[i % 2],
        "score": i,
        "messages": TURNS,
    }
    for i in range(4)
]
CASES = [
    (task, method)
    for task in TASKS
    for method in METHODS
    if method == "lora"
    or (task, method) in {("generation", m) for m in METHODS} | {("classification", "bitfit")}
]


@pytest.fixture(scope="module")
def bases(
    gpt2_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, Path, Path]]:
    """A function: a base for a task, the same one elsewhere, and one with other weights."""
    folder = tmp_path_factory.mktemp("bases")
    save_encoder(folder / "label", "roberta")
    shutil.copytree(gpt2_base, folder / "text")
    for output in ("label", "text"):
        shutil.copytree(folder / output, folder / f"{output}-copy")
        shutil.copytree(folder / output, folder / f"{output}-other")
        path = folder / f"{output}-other" / "model.safetensors"
        save_file({name: tensor * 1.5 for name, tensor in load_file(path).items()}, path, {"format": "pt"})

    def of(output: str) -> tuple[Path, Path, Path]:
        output = "text" if output == "text" else "label"
        return folder / output, folder / f"{output}-copy", folder / f"{output}-other"

    return of


@pytest.mark.parametrize(("task", "method"), CASES)
def test_only_an_adapter_of_the_same_base_is_a_start(
    task: str, method: str, bases: Callable[[str], tuple[Path, Path, Path]], tmp_path: Path
) -> None:
    of_task, chosen = make_task(task, **TASKS[task]), METHODS[method].model_validate(OPTIONS.get(method, {}))
    own, copy, other = bases(of_task.output)
    make_adapter(own, tmp_path / "adapter", chosen, of_task)

    def run(base: Path) -> Path:
        _train(base, task, chosen, tmp_path)
        return tmp_path / "run"

    with pytest.raises(Exception, match=r"\[train\] init_from: .* another base.* in its weights") as refused:
        run(other)
    assert type(refused.value).__name__ == "WrongBaseError"
    assert not (tmp_path / "run").exists()
    assert (run(copy) / "adapter").is_dir()


def _train(base: Path, task: str, method: Method, folder: Path) -> None:
    recipe, rows = folder / "mine.toml", save_rows(folder / "rows.jsonl", ROWS)
    sections = {
        "model": {"base": str(base)},
        "method": method.options(),
        "task": {"name": task, **TASKS[task]},
        "data": {"train": str(rows), "max_length": 32},
        "train": {
            "max_steps": 1,
            "batch_size": 2,
            "learning_rate": 1e-3,
            "init_from": str(folder / "adapter"),
        },
    }
    lines = [
        f"{assignment(f'{section}.{key}', value)}\n"
        for section, values in sections.items()
        for key, value in values.items()
        if value is not None
    ]
    recipe.write_text("".join(lines))
    train(load_plan(recipe, []), folder / "run", lambda _: None, TrainOptions(), ProcessGroup())


def test_a_hash_that_is_not_known_differs_from_none() -> None:
    known, other, unknown = base("1", "2"), base("1", "3"), base(None, None)
    assert differing(known, other) == ["weights"]
    assert differing(known, base("0", "3")) == ["config", "weights"]
    assert differing(known, unknown) == differing(unknown, known) == []


def base(config_hash: str | None, weights_hash: str | None) -> BaseIdentity:
    """A base with those hashes."""
    return BaseIdentity("a", None, config_hash, weights_hash)
