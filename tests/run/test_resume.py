"""A run that is cut off anywhere and goes on is the run that was never cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from lorafit.adapters import read_adapter
from lorafit.errors import InterruptedRunError, NotFoundError, RecipeError
from lorafit.models import load_tokenizer
from lorafit.run.events import Event
from lorafit.run.options import TrainOptions
from lorafit.run.plan import load_plan
from lorafit.run.train import train
from lorafit.training import ProcessGroup
from lorafit.verbs.import_ import ImportOptions, import_adapter
from tests.run.conftest import Runner, assert_equal_runs
from tests.support.stops import StopAt

MakeRunner = Callable[..., Runner]
RESULTS = ("step", "validation", "score", "finished")


@pytest.fixture
def whole(runner: MakeRunner) -> Runner:
    """The run that nobody stopped."""
    run = runner("whole")
    run()
    return run


def test_a_run_stopped_wherever_it_looks_ends_the_same(runner: MakeRunner, whole: Runner) -> None:
    cut = runner("cut")
    for looks in (1, 2, 3, 5, 4, 2, 6, 3, 9, 4, 7, 5):
        with pytest.raises(InterruptedRunError, match="stopped"):
            cut(group=ProcessGroup(StopAt(looks)))
    cut()
    assert_equal_runs(cut, whole, RESULTS)
    assert any("resumed from" in note for note in cut.notes)


@pytest.mark.parametrize("looks", [4, 8, 9, 17, 20])
def test_stopped_once(runner: MakeRunner, whole: Runner, looks: int) -> None:
    cut = runner("cut")
    with pytest.raises(InterruptedRunError):
        cut(group=ProcessGroup(StopAt(looks)))
    cut(TrainOptions(resume="must"))
    assert_equal_runs(cut, whole, RESULTS)


def test_steps_are_logged_without_gap_or_double(whole: Runner) -> None:
    steps = [line["step"] for line in whole.events("step")]
    assert steps == list(range(1, 15))
    assert sorted(p.name for p in (whole.folder / "checkpoints").iterdir()) == ["step-12", "step-14"]


def test_a_finished_run_is_shown_and_not_repeated(whole: Runner) -> None:
    before = whole.events()
    assert whole().already_finished
    assert whole(TrainOptions(resume="must")).already_finished
    assert whole.events() == before
    assert not whole(TrainOptions(resume="never")).already_finished
    assert whole.events() == before


def test_a_damaged_checkpoint_is_named_and_passed_over(runner: MakeRunner, whole: Runner) -> None:
    cut = runner("cut")
    with pytest.raises(InterruptedRunError):
        cut(group=ProcessGroup(StopAt(9)))
    folders = sorted((cut.folder / "checkpoints").iterdir(), key=lambda p: int(p.name.removeprefix("step-")))
    state = folders[-1] / "state.pt"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    cut()
    assert any(str(state) in note for note in cut.notes)
    assert any(str(folders[-2]) in note for note in cut.notes if "resumed" in note)
    assert_equal_runs(cut, whole, RESULTS)


def test_must_and_never(runner: MakeRunner, whole: Runner) -> None:
    cut = runner("cut")
    with pytest.raises(NotFoundError, match="no checkpoint"):
        cut(TrainOptions(resume="must"))
    with pytest.raises(InterruptedRunError):
        cut(group=ProcessGroup(StopAt(9)))
    cut(TrainOptions(resume="never"))
    assert not any("resumed" in note for note in cut.notes)
    assert_equal_runs(cut, whole)


def test_a_run_of_an_earlier_format_is_refused_and_left_as_it_is(runner: MakeRunner, whole: Runner) -> None:
    cut = runner("cut")
    with pytest.raises(InterruptedRunError):
        cut(group=ProcessGroup(StopAt(9)))
    for manifest in (cut.folder / "checkpoints").glob("*/manifest.json"):
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format_version": 1}))
    before = {path: path.read_bytes() for path in cut.folder.rglob("*") if path.is_file()}
    for options in (TrainOptions(), TrainOptions(resume="must")):
        with pytest.raises(RecipeError, match=r"earlier lorafit.*resume=.*lorafit 0\.1"):
            cut(options)
    assert {path: path.read_bytes() for path in cut.folder.rglob("*") if path.is_file()} == before
    cut(TrainOptions(resume="never"))
    assert_equal_runs(cut, whole)


def test_torchs_own_generator_decides_nothing(runner: MakeRunner, whole: Runner) -> None:
    """Neither where it is when a run begins nor what others draw from it meanwhile."""
    disturbed = runner("disturbed")
    note = disturbed.note

    def draw_something(event: Event) -> None:
        torch.rand(3)
        note(event)

    disturbed.note = draw_something  # type: ignore[method-assign]
    torch.manual_seed(77)
    disturbed()
    assert_equal_runs(disturbed, whole)


def test_a_changed_recipe_is_refused_by_its_keys(whole: Runner) -> None:
    with pytest.raises(RecipeError, match=r"train\.learning_rate: 0\.01 -> 0\.02"):
        whole(train__learning_rate=0.02)
    assert whole(train__micro_batch_size=2, train__checkpoint_every=7).already_finished


def test_extend_plans_the_schedule_anew(whole: Runner) -> None:
    with pytest.raises(RecipeError, match=r"train\.epochs: 2.0 -> 3.0.*extend=True"):
        whole(train__epochs=3)
    extend = TrainOptions(extend=True)
    with pytest.raises(RecipeError, match=r"train\.seed"):
        whole(extend, train__epochs=3, train__seed=5)
    assert not whole(extend, train__epochs=3).already_finished
    assert any("extended from 14 to 21 steps" in note for note in whole.notes)
    steps = whole.events("step")
    assert [line["step"] for line in steps] == list(range(1, 22))
    assert steps[14]["learning_rate"] == pytest.approx(0.01 * (21 - 14) / (21 - 2))
    assert whole(extend, train__epochs=3).already_finished


def test_init_from_takes_the_weights_alone(runner: MakeRunner, whole: Runner) -> None:
    heir = runner("heir", train__init_from=whole.folder / "adapter", train__max_steps=1)
    heir(train__learning_rate=1e-9)
    theirs = read_adapter(whole.folder / "adapter").tensors
    for name, tensor in read_adapter(heir.folder / "adapter").tensors.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-6)
    assert heir.checkpoint.position.step == 1


def test_training_goes_on_from_an_imported_adapter_where_that_one_stands(
    gpt2_base: Path, tmp_path: Path
) -> None:
    """The first loss of lorafit is the loss of PEFT's model on the same tokens."""
    folder = tmp_path / "peft"
    torch.manual_seed(0)
    config = LoraConfig(
        target_modules=["c_attn"], r=4, lora_alpha=12, fan_in_fan_out=True, init_lora_weights=False
    )
    theirs = get_peft_model(AutoModelForCausalLM.from_pretrained(gpt2_base), config).eval()
    theirs.save_pretrained(str(folder))
    import_adapter(folder, tmp_path / "adapter", "peft", str(gpt2_base), ImportOptions())
    rows = [{"text": "name : Zizzi", "more": f"Zizzi serves {food} food"} for food in ("French", "Italian")]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "mine.toml"
    recipe.write_text(f"""
model = {{ base = "{gpt2_base}", dropout = 0.0 }}
method = {{ name = "lora", r = 4, alpha = 12, targets = "c_attn" }}
task = {{ name = "generation", prompt = "text", completion = "more" }}
data = {{ train = "{data}" }}
train = {{ max_steps = 1, batch_size = 2, learning_rate = 1e-9, log_every = 1, init_from = "{tmp_path}/adapter" }}
""")
    with pytest.raises(RecipeError, match=r"\[train\] init_from: .* has alpha = 12, and this recipe 16"):
        load_plan(recipe, ["method.alpha=16"])
    plan = load_plan(recipe, [])
    train(plan, tmp_path / "run", lambda _: None, TrainOptions(), ProcessGroup())
    events = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    loss = next(event["loss"] for event in events if event["event"] == "step")

    encoder = plan.objective.encoder(load_tokenizer(str(gpt2_base)))
    total, count = 0.0, 0
    for example in encoder.encode(plan.rows.rows("train")).examples:
        ids, targets = plan.objective.inputs(example), example.completion_ids
        with torch.no_grad():
            log_p = theirs(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)[-len(targets) :]
        total -= log_p.gather(1, torch.tensor(targets)[:, None]).sum().item()
        count += len(targets)
    assert loss == pytest.approx(total / count, rel=1e-5)
    imported, trained = (read_adapter(tmp_path / name).tensors for name in ("adapter", "run/adapter"))
    assert imported.keys() == trained.keys()


def test_base_scores_are_made_once(runner: MakeRunner) -> None:
    whole, cut = runner("whole", eval__score_base="true"), runner("cut", eval__score_base="true")
    whole()
    with pytest.raises(InterruptedRunError, match="before training"):
        cut(group=ProcessGroup(StopAt(1)))
    with pytest.raises(InterruptedRunError):
        cut(group=ProcessGroup(StopAt(30)))
    cut()
    assert_equal_runs(cut, whole, RESULTS)
    assert [line["model"] for line in cut.events("score")] == ["base", "adapter"]


def test_a_run_goes_on_in_the_number_format_that_it_began_with(
    runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    has = next(name for name, can in torch.cpu.get_capabilities().items() if can is True)
    monkeypatch.setattr("lorafit.models.placement.GAINS_FROM", {has: 16})
    whole, cut = runner("whole", model__dtype="auto"), runner("cut", model__dtype="auto")
    whole()
    with pytest.raises(InterruptedRunError):
        cut(group=ProcessGroup(StopAt(8)))
    monkeypatch.setattr("lorafit.models.placement.GAINS_FROM", {"nothing": 16})
    cut(TrainOptions(resume="must"))
    assert_equal_runs(cut, whole, RESULTS)
    for run in (whole, cut):
        arithmetic = read_adapter(run.folder / "adapter").card.arithmetic
        assert arithmetic is not None
        assert arithmetic.dtype == run.checkpoint.state["dtype"] == "bfloat16"
        chosen = run.events("number_format")
        assert all(line["dtype"] == "bfloat16" and has in line["reason"] for line in chosen)
        assert chosen


def test_in_float32_because_the_base_is_narrow_is_said_too(
    runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    has = next(name for name, can in torch.cpu.get_capabilities().items() if can is True)
    monkeypatch.setattr("lorafit.models.placement.GAINS_FROM", {has: 640})
    run = runner("narrow", model__dtype="auto", train__epochs=1)
    run()
    (line,) = run.events("number_format")
    assert line["dtype"] == run.checkpoint.state["dtype"] == "float32"
    assert "wide" in line["reason"]
    assert line["reason"] == run.checkpoint.state["dtype_reason"]
