"""Every variant of LoRA beside PEFT's own: the same losses from the same start, and the whole way of an adapter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from lorafit import lora
from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import AdapterError, InterruptedRunError
from lorafit.interop.peft_layout import to_peft
from lorafit.methods import LoRA
from lorafit.models import Model
from lorafit.training import AdamW, ProcessGroup, parameter_groups
from lorafit.verbs.export import export
from lorafit.verbs.import_ import ImportOptions, import_adapter
from lorafit.verbs.merge import merge
from lorafit.verbs.verify import verify
from tests.run.conftest import Runner, assert_equal_runs
from tests.support.adapter_fixtures import make_adapter, train_adapter
from tests.support.peft_adapters import load_net, logits, peft_logits
from tests.support.stops import StopAt
from tests.support.tiny_models import outputs, tiny_model

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:peft", "ignore::DeprecationWarning", "ignore::FutureWarning"
)

STEPS, RATE = 20, 0.01


@dataclass(frozen=True)
class Variant:
    """Options of lorafit's LoRA, and those of PEFT's LoraConfig that mean the same on this architecture."""

    model_type: str
    options: Mapping[str, Any]
    peft: Mapping[str, Any]
    lora_plus_ratio: float | None = None
    refused: Mapping[str, str] = field(default_factory=dict)  # format -> why

    @property
    def method(self) -> LoRA:
        """With small defaults."""
        return LoRA(**{"r": 4, "alpha": 8.0, **self.options})


ALL_GPT2 = ("c_attn", "attn.c_proj", "c_fc", "mlp.c_proj")
VARIANTS = {
    "lora": Variant("llama", {}, {"target_modules": ["q_proj", "v_proj"]}),
    "rslora": Variant(
        "gpt2",
        {"scaling": "rslora", "targets": ALL_GPT2},
        {"use_rslora": True, "target_modules": ["c_attn", "c_proj", "c_fc"]},
    ),
    "patterns": Variant(
        "llama",
        {
            "r": {"layers.*.mlp.*": 2, "default": 4},
            "alpha": {"layers.1.*": 3.0, "default": 8.0},
            "targets": ("all-linear",),
            "exclude": ("layers.0.self_attn.[ko]_proj", "down"),
        },
        {
            "target_modules": r".*(1\.self_attn\..*|0\.self_attn\.[qv]_proj|gate_proj|up_proj)",
            "rank_pattern": {r"layers\.\d\.mlp\..*": 2},
            "alpha_pattern": {r"layers\.1\..*": 3},
        },
    ),
    "patterns with rslora": Variant(
        "gpt2",
        {"scaling": "rslora", "targets": ALL_GPT2, "r": {"h.0.*": 8, "default": 2}},
        {
            "use_rslora": True,
            "target_modules": ["c_attn", "c_proj", "c_fc"],
            "rank_pattern": {r"h\.0\..*": 8, r"h\.[12]\..*": 2},
        },
    ),
    "pissa": Variant(
        "gpt2",
        {"init": "pissa", "targets": ALL_GPT2},
        {"init_lora_weights": "pissa", "target_modules": ["c_attn", "c_proj", "c_fc"]},
    ),
    "pissa with patterns and rslora": Variant(
        "llama",
        {"init": "pissa", "targets": ("query", "up"), "scaling": "rslora", "r": {"q_proj": 2, "default": 6}},
        {
            "init_lora_weights": "pissa",
            "target_modules": ["q_proj", "up_proj"],
            "use_rslora": True,
            "rank_pattern": {"q_proj": 2, "up_proj": 6},
        },
    ),
    "olora": Variant(
        "llama",
        {"init": "olora", "targets": ("query", "down")},
        {"init_lora_weights": "olora", "target_modules": ["q_proj", "down_proj"]},
    ),
    "dora": Variant(
        "llama",
        {"dora": True, "targets": ("query", "value", "down")},
        {"use_dora": True, "target_modules": ["q_proj", "v_proj", "down_proj"]},
        refused={"gguf": "the gguf format has no place for lora_magnitude; use merge"},
    ),
    "dora with patterns and rslora": Variant(
        "gpt2",
        {"dora": True, "scaling": "rslora", "targets": ALL_GPT2, "r": {"h.0.*": 8, "default": 2}},
        {
            "use_dora": True,
            "use_rslora": True,
            "target_modules": ["c_attn", "c_proj", "c_fc"],
            "rank_pattern": {r"h\.0\..*": 8, r"h\.[12]\..*": 2},
        },
        refused={"gguf": "the gguf format has no place for lora_magnitude; use merge"},
    ),
    "lora+": Variant(
        "llama", {"targets": ("query", "up")}, {"target_modules": ["q_proj", "up_proj"]}, lora_plus_ratio=16.0
    ),
}
over_variants = pytest.mark.parametrize("name", VARIANTS)


@dataclass(frozen=True)
class Trained:
    """A variant after `STEPS` steps, here and in PEFT."""

    base: Path
    adapter: Path
    losses: list[float]
    peft_losses: list[float]
    peft_logits: Tensor


def train_net(net: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
    """The losses of some steps, each on other tokens. In float64, since AdamW's steps magnify what is rounded in small
    gradients."""
    generator, losses = torch.Generator().manual_seed(3), []
    net.double()
    for _ in range(STEPS):
        ids = torch.randint(0, 250, (4, 12), generator=generator)
        loss = net(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    net.float()
    return losses


def start_as(net: nn.Module, layers: Mapping[str, lora.LoRALayer], of_base: bool) -> None:
    """Put the adapters of `layers` into PEFT's, which span the same subspaces where they are parts of the base."""
    parameters = {
        name.replace(".default", "").replace("_vector.weight", "_vector"): p
        for name, p in net.named_parameters()
        if p.requires_grad
    }
    ours = {
        f"base_model.model.{name}.{key}": tensor
        for name, layer in layers.items()
        for key, tensor in to_peft(layer).items()
    }
    assert parameters.keys() == ours.keys()
    with torch.no_grad():
        for name, parameter in parameters.items():
            if of_base:
                torch.testing.assert_close(projector(ours[name]), projector(parameter), rtol=0, atol=1e-4)
            parameter.copy_(ours[name])


def projector(factor: Tensor) -> Tensor:
    """Onto the subspace that a factor spans."""
    wide = factor if len(factor) < factor.shape[1] else factor.T
    basis = torch.linalg.svd(wide, full_matrices=False)[2]
    return basis.T @ basis


@pytest.fixture(scope="module")
def trained(
    make_base: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Trained]:
    """A function that trains a variant, once."""

    @functools.cache
    def train(name: str) -> Trained:
        from peft import LoraConfig, get_peft_model
        from peft.optimizers import create_loraplus_optimizer

        variant, folder = VARIANTS[name], tmp_path_factory.mktemp("variant")
        base = make_base(variant.model_type)
        theirs = get_peft_model(load_net(base), LoraConfig(**{"r": 4, "lora_alpha": 8, **variant.peft}))
        losses: list[float] = []

        def train_ours(model: Model) -> None:
            start_as(theirs, lora.adapted_layers(model.net), variant.method.changes_base)
            ratio = variant.lora_plus_ratio
            groups = parameter_groups(model.trained(), model.net, 0.0, "none", ratio)
            for group in groups:
                group["lr"] = RATE * group.get("rate_factor", 1.0)
            losses.extend(train_net(model.net, AdamW(groups, lr=RATE)))

        train_adapter(base, folder / "adapter", variant.method, train_ours)
        optimizer: torch.optim.Optimizer = AdamW([p for p in theirs.parameters() if p.requires_grad], lr=RATE)
        if variant.lora_plus_ratio is not None:
            optimizer = create_loraplus_optimizer(
                theirs, AdamW, lr=RATE, loraplus_lr_ratio=variant.lora_plus_ratio
            )
        peft_losses = train_net(theirs, optimizer)
        return Trained(base, folder / "adapter", losses, peft_losses, logits(theirs.eval()))

    return train


@over_variants
def test_step_0_is_the_base(name: str) -> None:
    method, model = VARIANTS[name].method, tiny_model(VARIANTS[name].model_type)
    before = outputs(model)
    method.attach(model, torch.Generator().manual_seed(0))
    assert torch.equal(outputs(model), before) or method.changes_base
    assert (outputs(model) - before).abs().max() <= 1e-5 * before.abs().max()


@over_variants
def test_from_the_same_start_the_losses_are_pefts(trained: Callable[[str], Trained], name: str) -> None:
    run = trained(name)
    assert run.losses == pytest.approx(run.peft_losses, abs=1e-5)
    assert (logits(load_net(run.base)) - run.peft_logits).abs().max() > 0.01
    assert verify(run.adapter).ok
    ours = logits(restore(read_adapter(run.adapter)).net)
    torch.testing.assert_close(ours, run.peft_logits, rtol=0, atol=1e-4)


@over_variants
def test_merged_it_is_the_same_function(trained: Callable[[str], Trained], name: str, tmp_path: Path) -> None:
    run = trained(name)
    result = merge(run.adapter, tmp_path / "merged", BaseChoice())
    assert result.weights.least_survived == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(logits(load_net(tmp_path / "merged")), run.peft_logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("init", ["pissa", "olora"])
@pytest.mark.parametrize("strength", [1e-3, 1e-5])
def test_little_learned_since_a_start_in_the_base_is_merged(
    make_base: Callable[..., Path], init: Literal["pissa", "olora"], strength: float, tmp_path: Path
) -> None:
    """The start and what takes it back cancel in the sum, whose rounding is that of much larger terms."""
    make_adapter(
        make_base("gpt2"), tmp_path / "adapter", LoRA(r=4, targets=ALL_GPT2, init=init), strength=strength
    )
    result = merge(tmp_path / "adapter", tmp_path / "merged", BaseChoice())
    assert result.weights.max_error < 1e-7
    ours = logits(restore(read_adapter(tmp_path / "adapter")).net)
    torch.testing.assert_close(logits(load_net(tmp_path / "merged")), ours, rtol=0, atol=1e-5)


@over_variants
@pytest.mark.parametrize("format_name", ["peft", "gguf"])
def test_exported_it_is_the_same_function(
    trained: Callable[[str], Trained], name: str, format_name: str, tmp_path: Path
) -> None:
    run = trained(name)
    if (why := VARIANTS[name].refused.get(format_name)) is not None:
        with pytest.raises(AdapterError, match=why):
            export(run.adapter, tmp_path / "out", format_name, BaseChoice())
        return
    export(run.adapter, tmp_path / "out", format_name, BaseChoice())
    if format_name == "peft":
        loaded = peft_logits(run.base, tmp_path / "out")
        torch.testing.assert_close(loaded, run.peft_logits, rtol=0, atol=1e-4)
    import_adapter(tmp_path / "out", tmp_path / "again", format_name, str(run.base), ImportOptions())
    again = logits(restore(read_adapter(tmp_path / "again")).net)
    torch.testing.assert_close(again, run.peft_logits, rtol=0, atol=1e-4)


@over_variants
def test_a_run_that_is_cut_off_ends_the_same(
    name: str, make_base: Callable[..., Path], e2e_dir: Path, tmp_path: Path
) -> None:
    variant = VARIANTS[name]
    options = {
        f"method__{k}": v for k, v in variant.method.options().items() if k != "name" and v is not None
    }
    if variant.lora_plus_ratio is not None:
        options["train__lora_plus_ratio"] = variant.lora_plus_ratio
    base = make_base(variant.model_type)
    whole, cut = (Runner(base, e2e_dir, tmp_path / run, options) for run in ("whole", "cut"))
    whole()
    with pytest.raises(InterruptedRunError):
        cut(group=ProcessGroup(StopAt(9)))
    cut()
    assert_equal_runs(cut, whole, ("step", "validation", "score", "finished"))
    assert verify(whole.folder / "adapter").ok
