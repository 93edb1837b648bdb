"""An adapter to merge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.adapter_fixtures import make_adapter


@pytest.fixture(scope="module")
def adapter(gpt2_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "adapter"
    make_adapter(gpt2_base, folder)
    return folder
