"""Every adapter format and every format of merged models, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from safetensors.torch import load_file

from lorafit.adapters import BaseChoice, read_adapter
from lorafit.errors import AdapterError, RecipeError
from lorafit.interop.models import MODEL_WRITERS, ModelWriter
from lorafit.interop.readers import READERS, Reader
from lorafit.interop.writers import WRITERS, Writer
from lorafit.methods import Full
from lorafit.verbs.export import export
from lorafit.verbs.import_ import ImportOptions, import_adapter
from lorafit.verbs.merge import merge
from tests.support.adapter_fixtures import make_adapter, run_here

REGISTRIES: dict[str, Mapping[str, Reader | Writer | ModelWriter]] = {
    "readers": READERS,
    "writers": WRITERS,
    "models": MODEL_WRITERS,
}


@pytest.fixture(scope="module")
def adapter(gpt2_base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats") / "adapter"
    make_adapter(gpt2_base, folder)
    return folder


@pytest.mark.parametrize("registry", REGISTRIES)
def test_every_entry_has_its_own_name_and_help(registry):
    for name, entry in REGISTRIES[registry].items():
        assert entry.name == name
        assert entry.help


@pytest.mark.parametrize(("command", "registry"), [("export", WRITERS), ("import", READERS)])
def test_the_command_line_offers_every_entry_in_its_own_words(command, registry, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    shown = run_here(monkeypatch, [command, "--help"]).out
    assert f"[{'|'.join(registry)}]" in shown
    assert all(f"{name}: {entry.help}" in shown for name, entry in registry.items())


@pytest.mark.parametrize("name", READERS)
def test_what_is_written_comes_back_without_a_bit_lost(adapter, gpt2_base, tmp_path, name):
    export(adapter, tmp_path / "out", name, BaseChoice())
    options = ImportOptions(alpha=None if READERS[name].holds_alpha else 8.0)
    import_adapter(tmp_path / "out", tmp_path / "again", name, str(gpt2_base), options)
    first, again = read_adapter(adapter), read_adapter(tmp_path / "again")
    assert first.card.method == again.card.method
    assert first.tensors.keys() == again.tensors.keys()
    assert all(torch.equal(tensor, again.tensors[key]) for key, tensor in first.tensors.items())


@pytest.mark.parametrize("name", WRITERS)
def test_the_model_card_has_the_words_of_the_format(adapter, tmp_path, name):
    export(adapter, tmp_path / "out", name, BaseChoice())
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"library_name: {name}" in text
    assert WRITERS[name].card_paragraph(read_adapter(adapter).card) in text


@pytest.mark.parametrize("name", WRITERS)
def test_the_result_names_the_base_that_was_asked_for(adapter, gpt2_base, tmp_path, name):
    (tmp_path / "moved").symlink_to(gpt2_base)
    export(adapter, tmp_path / "here", name, BaseChoice())
    export(adapter, tmp_path / "there", name, BaseChoice(str(tmp_path / "moved")))
    for file in (tmp_path / "here").glob("*.json"):
        moved = (tmp_path / "there" / file.name).read_text()
        assert moved == file.read_text().replace(str(gpt2_base), str(tmp_path / "moved"))


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_format_cannot_hold_is_refused_before_anything_is_written(gpt2_base, tmp_path, name):
    make_adapter(gpt2_base, tmp_path / "adapter", Full(), strength=0.01)
    with pytest.raises(AdapterError, match=f"method 'full' has no counterpart in the {name} format"):
        export(tmp_path / "adapter", tmp_path / "out", name, BaseChoice())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]


def test_an_unknown_format_is_refused_with_the_nearest_name(adapter, gpt2_base, tmp_path):
    with pytest.raises(RecipeError, match="did you mean 'peft'"):
        export(adapter, tmp_path / "out", "pefd", BaseChoice())
    with pytest.raises(RecipeError, match="did you mean 'loralib'"):
        import_adapter(adapter, tmp_path / "out", "lorelib", str(gpt2_base), ImportOptions())
    with pytest.raises(RecipeError, match="did you mean 'transformers'"):
        merge(adapter, tmp_path / "out", BaseChoice(), format_name="transformer")


@pytest.mark.parametrize("name", MODEL_WRITERS)
def test_a_merged_model_is_proven_in_every_number_format(adapter, tmp_path, name):
    for dtype in MODEL_WRITERS[name].dtypes:
        result = merge(adapter, tmp_path / dtype, BaseChoice(), dtype, format_name=name)
        assert result.weights.least_survived == pytest.approx(1, abs=0.1)
        assert result.answers is not None
        assert result.answers.max_difference <= result.answers.allowed
        written = [t for path in (tmp_path / dtype).glob("*.safetensors") for t in load_file(path).values()]
        assert all(tensor.dtype == getattr(torch, dtype) for tensor in written)
    with pytest.raises(RecipeError, match="did you mean 'float32'"):
        merge(adapter, tmp_path / "other", BaseChoice(), "float31", format_name=name)
