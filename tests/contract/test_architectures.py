"""Some of the architectures of docs/models.md, each by the whole road: train, merge, open again, compare."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT

SOME = {
    ("cohere2", "text"): "packed",  # windows, and logits with a scale
    ("gemma3", "text"): "packed",  # a nested text_config beside a tower for images
    ("bert", "text"): "packed",  # an encoder that writes
    ("falcon", "text"): "padded",  # linear layers in other words
    ("mamba", "text"): "padded",  # no attention; a layer whose weight is read without a call
    ("bart", "text"): "padded",  # a decoder whose encoder is not there
    ("laguna", "text"): "packed",  # files with names that transformers translates
    ("mixtral", "text"): "packed",  # experts
    ("bart", "label"): "padded",
    ("falcon", "label"): "padded",
    ("nomic_bert", "label"): "padded",  # files that hold several matrices as one
    ("fnet", "label"): "single",  # no masks
}


def script() -> ModuleType:
    folder = ROOT / "scripts" / "stress"
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # as if it were started there
    path = folder / "architectures.py"
    spec = importlib.util.spec_from_file_location("architectures", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ARCHITECTURES = script()


@pytest.mark.parametrize(("model_type", "output"), SOME)
@pytest.mark.filterwarnings("ignore")
def test_an_architecture_trains_merges_and_opens_again(model_type: str, output: str, tmp_path: Path) -> None:
    result = ARCHITECTURES.try_one(tmp_path, model_type, output)
    assert (result.state, result.why, result.reading) == ("works", "", SOME[model_type, output])


def test_the_page_tells_of_every_architecture_of_the_tables() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| (\S+) \|", page, re.MULTILINE)) - {"`model_type`"}
    assert named == {name for table in ARCHITECTURES.TABLES.values() for name in table}
    assert "differs" not in page


def test_what_differs_in_silence_is_never_good() -> None:
    works = [ARCHITECTURES.Result(f"a{i}", "text", "works", "packed") for i in range(40)]
    failing = [ARCHITECTURES.Result(f"b{i}", "text", "fails", why="no") for i in range(2)]
    differs = ARCHITECTURES.Result("c", "text", "differs", why="loss 1 instead of 2")
    bare = [ARCHITECTURES.Result(f"d{i}", "text", "not bare", why="no net") for i in range(50)]
    assert ARCHITECTURES.is_good([*works, *failing, *bare])
    assert not ARCHITECTURES.is_good([*works, differs])
    assert not ARCHITECTURES.is_good([*works, *failing, ARCHITECTURES.Result("e", "text", "fails", why="no")])
