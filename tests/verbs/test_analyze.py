"""`lorafit analyze` on adapters that were trained."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lorafit import lora
from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import RecipeError
from lorafit.lora.subspace import similarity
from lorafit.run.options import TrainOptions
from lorafit.run.plan import load_plan
from lorafit.run.train import train
from lorafit.training import ProcessGroup
from lorafit.verbs.analyze import analyze
from tests.conftest import recipe_overrides


@pytest.fixture(scope="module")
def adapters(gpt2_base: Path, e2e_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Rank 2 and rank 4 on the same base."""
    found = []
    for r in (2, 4):
        settings = recipe_overrides(gpt2_base, e2e_dir, method__r=r, train__max_steps=3)[1::2]
        plan = load_plan("e2e_gpt2m", [*settings, "eval.metrics=['bleu']"])
        run = tmp_path_factory.mktemp("analyze") / f"r{r}"
        found.append(train(plan, run, lambda _: None, TrainOptions(), ProcessGroup()).adapter)
    return found[0], found[1]


def test_similarity_is_that_of_the_adapters_tensors(adapters: tuple[Path, Path], tmp_path: Path) -> None:
    result = analyze(adapters, tmp_path, BaseChoice(), amplification=False, max_directions=64)
    (pair,) = result.pairs
    assert len(pair.modules) == 4  # query and value of two blocks
    tensors = [
        read_adapter(folder).tensors["transformer.h.1.attn.c_attn.lora_A"].numpy() for folder in adapters
    ]
    expected = similarity(tensors[0][2:], tensors[1][4:])  # the second half of each is the value's
    assert np.allclose(pair.modules["transformer.h.1.attn.c_attn[value]"], expected)
    rows = list(csv.DictReader((tmp_path / "similarity.csv").read_text().splitlines()))
    assert len(rows) == (1 + 4) * 2 * 4
    assert float(rows[0]["similarity"]) == pytest.approx(pair.mean[0, 0], abs=1e-6)
    assert (tmp_path / "similarity-1.png").is_file() == (importlib.util.find_spec("matplotlib") is not None)


def test_amplification_uses_the_base_s_slices(
    adapters: tuple[Path, Path], tmp_path: Path, lorafit: Callable[..., Any]
) -> None:
    out = lorafit("analyze", adapters[1], "--amplification", "--output", tmp_path, "--json").stdout
    found = json.loads(out)["amplification"][str(adapters[1])]
    layer = restore(read_adapter(adapters[1])).net.get_submodule("transformer.h.0.attn.c_attn")
    assert isinstance(layer, lora.MergedLinear)
    value, delta = layer.weight[:, -32:], layer.delta_weight()[:, -32:]  # Conv1D: [in, out]
    figures = found["transformer.h.0.attn.c_attn[value]"]
    assert figures["norm_base"] == pytest.approx(value.norm().item(), rel=1e-5)
    assert figures["norm_delta"] == pytest.approx(delta.norm().item(), rel=1e-4)
    assert figures["through_delta"] <= figures["through_base"] <= figures["norm_base"]
    assert (tmp_path / "amplification.csv").read_text().count("\n") == 1 + 4


def test_one_adapter_alone_is_nothing_to_compare(adapters: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="nothing to compare it with"):
        analyze(adapters[:1], tmp_path, BaseChoice(), amplification=False, max_directions=64)
