"""Every foreign format goes there and back without a bit lost; the command line offers exactly these."""

from __future__ import annotations

import pytest
import torch

from lorafit.adapters import BaseChoice, read_adapter
from lorafit.cli.conversion import FormatName
from lorafit.interop import FORMATS
from lorafit.verbs.export import export
from lorafit.verbs.import_ import Given, import_adapter
from tests.support.adapter_fixtures import make_adapter


def test_the_command_line_offers_every_format():
    assert [fmt.value for fmt in FormatName] == list(FORMATS)
    assert all(name == fmt.name for name, fmt in FORMATS.items())


@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back(gpt2_base, tmp_path, name):
    make_adapter(gpt2_base, tmp_path / "adapter")
    export(tmp_path / "adapter", tmp_path / "out", name, BaseChoice())
    assert f"library_name: {name}" in (tmp_path / "out" / "README.md").read_text()
    given = Given(alpha=None if FORMATS[name].holds_alpha else 8.0)
    import_adapter(tmp_path / "out", tmp_path / "again", name, str(gpt2_base), given)
    first, again = read_adapter(tmp_path / "adapter"), read_adapter(tmp_path / "again")
    assert first.card.method == again.card.method
    assert first.tensors.keys() == again.tensors.keys()
    assert all(torch.equal(tensor, again.tensors[key]) for key, tensor in first.tensors.items())
