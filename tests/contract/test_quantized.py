"""QLoRA: a base in 4 bits trains as PEFT with bitsandbytes does, and what is done with the adapter knows that base."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from lorafit import lora
from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import AdapterError, InterruptedRunError, RecipeError
from lorafit.interop.peft_layout import to_peft
from lorafit.methods import LoRA
from lorafit.models import FAMILIES, load_base, load_config, quantize, quantized_names
from lorafit.models.quantized import QuantizedTensor
from lorafit.run.plan import load_plan
from lorafit.training import AdamW, ProcessGroup
from lorafit.verbs.combine import Part, combine
from lorafit.verbs.export import export
from lorafit.verbs.merge import merge
from lorafit.verbs.verify import verify
from tests.conftest import recipe_overrides
from tests.run.conftest import Runner, assert_equal_runs
from tests.support import warm
from tests.support.adapter_fixtures import make_adapter
from tests.support.peft_adapters import load_net, logits
from tests.support.stops import StopAt

pytestmark = [
    pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="no bitsandbytes"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]
OPTIONS = {"model__quantize": "nf4", "model__dtype": "float32", "method__targets": ["all-linear"]}


def bnb_net(base: Path) -> Any:
    """The base as transformers loads it with bitsandbytes."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    return AutoModelForCausalLM.from_pretrained(
        base, quantization_config=options, dtype=torch.float32, device_map="cpu"
    )


def steps(net: Any, parameters: list[torch.nn.Parameter]) -> list[float]:
    optimizer, generator, losses = AdamW(parameters, lr=0.01, eps=1e-4), torch.Generator().manual_seed(3), []
    for _ in range(20):
        ids = torch.randint(0, 250, (4, 12), generator=generator)
        loss = net(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
@pytest.mark.parametrize("dora", [False, True])
def test_20_steps_are_those_of_peft_and_bitsandbytes(
    make_base: Callable[..., Path], model_type: str, dora: bool
) -> None:
    from bitsandbytes.functional import dequantize_4bit
    from peft import LoraConfig, get_peft_model

    dropouts = dict.fromkeys(FAMILIES[model_type].dropouts, 0.0)
    base = make_base(model_type, hidden_size=64, **dropouts)
    ours = load_base(load_config(str(base)), str(base), None, "text")
    quantize(ours)
    theirs = bnb_net(base)
    for name in quantized_names(ours):
        weight = theirs.get_parameter(name)
        same = dequantize_4bit(weight.data, weight.quant_state)
        mine = ours.net.get_parameter(name)
        assert isinstance(mine, QuantizedTensor)
        assert mine.packed.numel() == mine.numel() // 2
        assert torch.equal(mine.dequantized().T if model_type == "gpt2" else mine.dequantized(), same)
    LoRA(r=4, targets=("all-linear",), dora=dora).attach(ours, torch.Generator().manual_seed(0))
    layers = lora.adapted_layers(ours.net)
    config = LoraConfig(r=4, lora_alpha=16, use_dora=dora, target_modules=sorted(layers))
    theirs = get_peft_model(theirs, config)
    start = {
        f"base_model.model.{name}.{key}": tensor.clone()
        for name, layer in layers.items()
        for key, tensor in to_peft(layer).items()
    }
    trained = {n.replace(".default", ""): p for n, p in theirs.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(start[name.replace("_vector.weight", "_vector")])
    theirs.train()
    ours.net.train()
    losses = steps(ours.net, list(ours.trained().values()))
    assert losses == pytest.approx(steps(theirs, list(trained.values())), abs=1e-5)
    assert losses[0] != losses[-1]


def test_a_quantised_tensor_is_its_dequantised_values_everywhere() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(64, 128), torch.randn(3, 128, requires_grad=True)
    quantised = QuantizedTensor.of(weight)
    values = quantised.dequantized()
    kept: list[type] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(type(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        y = F.linear(x, quantised)
    assert kept == [QuantizedTensor]
    assert torch.equal(y, F.linear(x, values))
    (grad,) = torch.autograd.grad(y.square().sum(), x)
    assert torch.equal(grad, torch.autograd.grad(F.linear(x, values).square().sum(), x)[0])
    assert torch.equal(quantised.T @ weight, values.T @ weight)
    assert torch.equal(copy.deepcopy(quantised).norm(), values.norm())
    half = quantised.bfloat16()
    assert isinstance(half, QuantizedTensor)
    assert torch.equal(half.dequantized(), values.bfloat16())
    transposed = QuantizedTensor.of(weight.T, transposed=True)
    assert torch.equal(transposed.dequantized(), values.T)
    with pytest.raises(RuntimeError, match="cannot be written to"):
        quantised.add_(1.0)


@pytest.fixture(scope="module")
def run(gpt2_base: Path, e2e_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A run on a base in 4 bits."""
    run = Runner(gpt2_base, e2e_dir, tmp_path_factory.mktemp("quantised") / "run", OPTIONS)
    run()
    return run


def test_verify_and_eval_know_the_base(run: Runner, cli: Any) -> None:
    adapter = run.folder / "adapter"
    assert verify(adapter).ok
    assert json.loads((adapter / "adapter.json").read_text())["base"]["quantize"] == "nf4"
    now = json.loads(cli("eval", adapter, "--metric", "bleu", "--json").stdout)
    assert now["scores"].items() >= json.loads((run.folder / "scores.json").read_text())["scores"].items()


def test_a_run_that_is_cut_off_ends_the_same(run: Runner, tmp_path: Path) -> None:
    cut = Runner(run.base, run.data, tmp_path / "cut", OPTIONS)
    with pytest.raises(InterruptedRunError):
        cut(group=ProcessGroup(StopAt(9)))
    cut()
    assert_equal_runs(cut, run, ("step", "validation", "score", "finished"))


def test_it_is_merged_onto_what_training_saw(run: Runner, tmp_path: Path) -> None:
    result = merge(run.folder / "adapter", tmp_path / "merged", BaseChoice())
    assert not result.notes
    expected = logits(restore(read_adapter(run.folder / "adapter")).net)
    torch.testing.assert_close(logits(load_net(tmp_path / "merged")), expected, rtol=0, atol=1e-4)


def test_onto_the_original_it_says_how_far_that_moves(run: Runner, tmp_path: Path) -> None:
    result = merge(run.folder / "adapter", tmp_path / "merged", BaseChoice(), onto="original")
    (note,) = result.notes
    assert "merged onto the original weights: the answers move by up to" in note
    assert result.answers is not None
    assert result.answers.moved is not None
    assert result.answers.moved > 100 * result.answers.allowed


def test_adapters_of_a_base_in_4_bits_and_in_16_are_not_added(run: Runner, tmp_path: Path) -> None:
    make_adapter(run.base, tmp_path / "plain")
    parts = [Part(run.folder / "adapter"), Part(tmp_path / "plain")]
    with pytest.raises(AdapterError, match=r"plain: .* a base that was not quantised, and .* on one in nf4"):
        combine(parts, tmp_path / "out", BaseChoice())
    combine(parts[:1] * 2, tmp_path / "out", BaseChoice())
    assert verify(tmp_path / "out").ok


@pytest.mark.parametrize("format_name", ["peft", "gguf"])
def test_an_export_says_that_the_base_was_quantised(run: Runner, tmp_path: Path, format_name: str) -> None:
    (note,) = export(run.folder / "adapter", tmp_path / "out", format_name, BaseChoice()).notes
    assert note.endswith(
        "a base in nf4, and answers otherwise on one in 16 bits; a merge onto the original weights "
        "measures by how much"
    )


def test_a_base_that_was_not_quantised_has_but_one_form(gpt2_base: Path, tmp_path: Path) -> None:
    make_adapter(gpt2_base, tmp_path / "adapter")
    with pytest.raises(RecipeError, match="was not quantised"):
        merge(tmp_path / "adapter", tmp_path / "other", BaseChoice(), onto="quantized")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method.name": "full"}, "h.0.attn.c_attn.weight would train, and cannot in 4 bits"),
        ({"method.also_train": ["c_fc"]}, "c_fc.weight would train, and cannot in 4 bits"),
        ({"method.init": "pissa"}, "takes its start out of the base"),
        ({"train.parallel": "fsdp"}, "fsdp cannot shard a base in 4 bits"),
    ],
)
def test_what_does_not_go_with_it_is_said(
    gpt2_base: Path, e2e_dir: Path, changes: dict[str, Any], words: str
) -> None:
    more = {"model.quantize": "nf4", "method.targets": ["attn.c_proj"]} | changes
    drop = ("method.targets", "method.dropout") if changes.get("method.name") else ()
    values = {k.replace(".", "__"): v for k, v in more.items() if k not in drop}
    chosen = [text for text in recipe_overrides(gpt2_base, e2e_dir, **values) if text != "--set"]
    with pytest.raises(RecipeError, match=words):
        load_plan("e2e_gpt2m", chosen)


def test_importing_bitsandbytes_asks_nobody_for_kernels(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text("def get_kernel(*_, **__):\n    raise SystemExit('asked the hub')\n")
    (tmp_path / "imports.py").write_text(
        "import sys\nfrom lorafit.imports import import_bitsandbytes\n"
        "assert not {'bitsandbytes', 'kernels'} & set(sys.modules)\nimport_bitsandbytes('functional', '')\n"
    )
    done = warm.run(module="imports", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_optimizer_in_8_bits_is_close_to_the_other_and_resumes(
    make_base: Callable[..., Path], e2e_dir: Path, tmp_path: Path
) -> None:
    base = make_base("gpt2", hidden_size=64)
    wide = OPTIONS | {"method__r": 32, "train__epochs": 1}
    in_8_bits = wide | {"train__optimizer": "adamw_8bit"}
    whole, cut, plain = (
        Runner(base, e2e_dir, tmp_path / name, options)
        for name, options in {"whole": in_8_bits, "cut": in_8_bits, "plain": wide}.items()
    )
    whole()
    with pytest.raises(InterruptedRunError):
        cut(group=ProcessGroup(StopAt(5)))
    cut()
    assert_equal_runs(cut, whole, ("step", "validation", "score", "finished"))
    assert any(t.dtype == torch.uint8 for t in _tensors(whole.checkpoint.optimizer))
    plain()
    losses = [[line["loss"] for line in run.events("step")] for run in (whole, plain)]
    assert losses[0] == pytest.approx(losses[1], abs=0.05)
    assert losses[0] != losses[1]


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
