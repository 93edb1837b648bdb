"""Files that several tests of foreign formats read."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafit.adapters import BaseChoice
from lorafit.verbs.export import export
from tests.support.adapter_fixtures import make_adapter


@pytest.fixture(scope="session")
def gpt2_file(gpt2_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """loralib's file of an adapter of query and value with alpha 8; the adapter folder is `../adapter`."""
    folder = tmp_path_factory.mktemp("loralib")
    make_adapter(gpt2_base, folder / "adapter")
    export(folder / "adapter", folder / "out", "loralib", BaseChoice())
    return folder / "out" / "pytorch_model_lora.bin"
