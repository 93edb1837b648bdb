"""`lorafit merge`: which base it takes, and where it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorafit.errors import RecipeError
from tests.support.adapter_fixtures import make_adapter, run_here
from tests.support.merged_models import merge_to, with_other


@pytest.fixture(scope="module")
def adapter(gpt2_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "adapter"
    make_adapter(gpt2_base, folder)
    return folder


def test_another_base_is_refused_unless_forced(adapter, make_base, tmp_path, monkeypatch):
    other = make_base("gpt2", seed=9)
    refused = run_here(monkeypatch, ["merge", adapter, tmp_path / "merged", "--base", other])
    assert refused.code == 6
    assert "wrong base: the weights" in refused.err
    bare = with_other(adapter, tmp_path / "bare", fingerprint=None)
    forced = run_here(monkeypatch, ["merge", bare, tmp_path / "merged", "--base", other, "--force", "--json"])
    assert forced.code == 0, forced.err
    assert json.loads(forced.out)["compared_with"] == "base + adapter"


def test_an_output_that_is_there_is_left_alone(adapter, tmp_path):
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "mine").write_text("x")
    with pytest.raises(RecipeError, match="already exists"):
        merge_to(adapter, tmp_path / "merged")
