"""Targets name exactly what a foreign adapter adapts."""

from __future__ import annotations

import random
import re

import pytest
import torch

from lorafit import lora
from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.interop.targets import exact_targets
from lorafit.methods import LoRA
from lorafit.models import FAMILIES, skeleton
from lorafit.verbs.export import export
from tests.support.adapter_fixtures import make_adapter
from tests.support.loralib_files import FILE, import_loralib, same_factors


@pytest.mark.parametrize("blocks", [(0,), (1, 3), (2,), (0, 1, 2, 3)])
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_an_adapter_in_some_blocks_only_is_read_with_targets_that_name_these(
    make_base, tmp_path, model_type, blocks
):
    base = make_base(model_type, num_hidden_layers=4)
    make_adapter(base, tmp_path / "made", LoRA(r=2, alpha=8))
    export(tmp_path / "made", tmp_path / "out", "loralib", BaseChoice())
    document = torch.load(tmp_path / "out" / FILE, weights_only=True)
    tensors = document.get("model_state_dict", document)
    kept = {n: t for n, t in tensors.items() if int(re.findall(r"\.(\d+)\.", n)[0]) in blocks}
    torch.save(kept, tmp_path / "some.pt")
    import_loralib(tmp_path / "some.pt", tmp_path / "again", base)
    adapter = read_adapter(tmp_path / "again")
    assert {n.removeprefix("module.") for n in kept} == set(adapter.tensors)
    assert (adapter.card.method["targets"] == ["query", "value"]) == (len(blocks) == 4)
    whole = restore(read_adapter(tmp_path / "made"))
    with torch.no_grad():
        for name, parameter in whole.trained().items():
            parameter.mul_(name in adapter.tensors)
        ids = torch.arange(12)[None]
        assert torch.equal(restore(adapter).net(input_ids=ids).logits, whole.net(input_ids=ids).logits)


def test_blocks_may_adapt_other_slices_than_others(gpt2_base, tmp_path):
    targets = ("transformer.h.0.query", "h.0.value", "h.1.query", "h.1.key", "h.1.value")
    make_adapter(gpt2_base, tmp_path / "made", LoRA(r=2, alpha=8, targets=targets))
    export(tmp_path / "made", tmp_path / "out", "loralib", BaseChoice())
    import_loralib(tmp_path / "out", tmp_path / "again", gpt2_base)
    assert same_factors(tmp_path / "made", tmp_path / "again")
    assert read_adapter(tmp_path / "again").card.method["targets"] == [
        "query",
        "value",
        "transformer.h.1.key",
    ]


@pytest.mark.parametrize("model_type", FAMILIES)
def test_whatever_targets_mean_in_some_blocks_has_names(model_type: str) -> None:
    family, draw = FAMILIES[model_type], random.Random(0)
    shape = skeleton(family.tiny_config(), next(iter(family.heads)))
    prefix, modules = family.block_prefix(shape.net), list(lora.adaptable(shape.net))
    in_blocks = [
        f"{prefix}.{i}.{target if place.num_slices > 1 else place.module}"
        for i in range(family.num_blocks(shape.net))
        for target, place in family.places.items()
    ]
    for _ in range(20):
        chosen = [*draw.sample(in_blocks, 3), *draw.sample(modules, 2)]
        meant = {site.name: site.enabled for site in family.sites(shape.net, chosen)}
        found = exact_targets(meant, shape)
        assert found is not None
        assert {site.name: site.enabled for site in family.sites(shape.net, found)} == meant
