"""What goes wrong around a run: memory, disk, numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from lorafit.data.batches import SequenceBatch
from lorafit.errors import DivergedError, InterruptedRunError, LorafitError, RecipeError
from lorafit.files import tidy, write_text
from lorafit.objectives import language_model
from lorafit.run.events import Event
from lorafit.run.files.summary import summarize
from lorafit.training import ProcessGroup, language_model_loss_sums
from tests.run.conftest import Runner, assert_equal_runs
from tests.support.full_disk import files_of_at_most
from tests.support.stops import StopWhen

MakeRunner = Callable[..., Runner]


def test_a_full_disk_leaves_the_checkpoint_before_and_the_run_goes_on_later(
    runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = runner("whole"), runner("cut")
    whole()
    limit = files_of_at_most(15_000)

    def fill_after_the_first_checkpoint(event: Event) -> None:
        if type(event).__name__ == "Saved":
            limit.__enter__()

    monkeypatch.setattr(cut, "note", fill_after_the_first_checkpoint)
    try:
        with pytest.raises(
            LorafitError, match=r"step-6: cannot be written: .*checkpoint of step 3 is intact.*again"
        ):
            cut()
    finally:
        limit.__exit__(None, None, None)
    assert [path.name for path in (cut.folder / "checkpoints").iterdir()] == ["step-3"]
    monkeypatch.setattr(cut, "note", lambda _: None)
    cut()
    assert_equal_runs(cut, whole)


def test_no_room_for_the_event_log(runner: MakeRunner) -> None:
    with files_of_at_most(2_000), pytest.raises(LorafitError, match=r"metrics.jsonl: cannot be written"):
        runner("cut", train__checkpoint_every=100, train__batch_size=1)()


def test_running_out_of_memory_is_told_and_remembered(
    runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy, tight = runner("roomy", method__dropout=0.0), runner("tight", method__dropout=0.0)
    roomy()

    def loss_with_little_memory(
        net: PreTrainedModel, batch: SequenceBatch, smoothing: Sequence[float], *options: Any
    ) -> torch.Tensor:
        if net.training and len(batch.lengths) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return language_model_loss_sums(net, batch, smoothing, *options)

    monkeypatch.setattr(language_model, "language_model_loss_sums", loss_with_little_memory)
    with pytest.raises(InterruptedRunError):
        tight(group=ProcessGroup(StopWhen(lambda: "a test" if len(tight.events("step")) == 2 else None)))
    assert sum("out of memory" in note for note in tight.notes) == 2
    tight()
    assert sum("out of memory" in note for note in tight.notes) == 2
    losses = [[line["loss"] for line in run.events("step")] for run in (tight, roomy)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_loss_that_is_not_a_number(runner: MakeRunner) -> None:
    run = runner("diverged", train__learning_rate=1e30, train__warmup_steps=0)
    with pytest.raises(DivergedError, match="learning_rate") as raised:
        run()
    left = summarize(run.folder)
    assert (left.state, left.fault) == ("diverged", raised.value.message)


def test_what_helps_may_be_tried_in_the_folder_of_a_run_that_made_nothing(runner: MakeRunner) -> None:
    steady = {"train__learning_rate": 1e-3, "train__warmup_steps": 0}
    run, anew = runner("diverged", train__learning_rate=1e30, train__warmup_steps=0), runner("anew", **steady)
    with pytest.raises(DivergedError):
        run()
    run(train__learning_rate=1e-3)
    anew()
    assert_equal_runs(run, anew)
    assert summarize(run.folder).state == "finished"
    with pytest.raises(RecipeError, match="another recipe"):
        run(train__learning_rate=2e-3)


def test_a_folder_that_cannot_be_written(runner: MakeRunner) -> None:
    run = runner("file")
    run.folder.write_text("")
    with pytest.raises(RecipeError, match="not a run folder"):
        run()
    run.folder = run.folder / "below"
    with pytest.raises(LorafitError, match="cannot be written"):
        run()


def test_a_run_that_was_killed_before_its_recipe_was_written_goes_on(runner: MakeRunner) -> None:
    run = runner("killed")
    run.folder.mkdir()
    for name in ("run.lock", ".recipe.toml.4711.tmp"):
        (run.folder / name).write_text("")
    run()
    assert not list(run.folder.glob(".*"))


def test_gradient_checkpointing_changes_no_loss(runner: MakeRunner) -> None:
    plain, thrifty = runner("plain"), runner("thrifty", train__gradient_checkpointing="true")
    for run in (plain, thrifty):
        run()
    assert thrifty.events("step") == plain.events("step")  # dropout and all
    assert thrifty.events("step")[0]["loss"] != thrifty.events("step")[-1]["loss"]


def test_leftovers_of_the_killed_are_cleared_away(tmp_path: Path) -> None:
    write_text(tmp_path / "kept", "here")
    for name in (".step-3.77.tmp", ".step-3.77.old", ".kept.77.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / ".scores.json.77.tmp").write_text("{")
    (tmp_path / ".hidden").write_text("")
    tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "kept", "step-3"]
    assert (tmp_path / "step-3" / "file").read_text() == ".step-3.77.old"
