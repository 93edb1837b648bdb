"""A run is its recipe, its base and its data: where one of them changed, it is another run, and that is said."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafit.adapters import BaseChoice, read_adapter
from lorafit.errors import InterruptedRunError, NotFoundError, RecipeError, SetArgument, WrongBaseError
from lorafit.recipe import EvalSection, Split
from lorafit.run.events import Event, Note
from lorafit.run.inputs import Inputs
from lorafit.run.options import TrainOptions
from lorafit.run.plan import load_plan
from lorafit.run.train import TrainResult, train
from lorafit.training import ProcessGroup
from lorafit.verbs.evaluate import EvaluateOptions, evaluate
from tests.run.conftest import Runner
from tests.support.glue_recipes import write_recipe
from tests.support.stops import StopAt
from tests.support.tiny_encoders import save_encoder, sentences

Change = Callable[[Runner], Path]


@pytest.fixture
def run(runner: Callable[..., Runner], e2e_dir: Path, tmp_path: Path) -> Runner:
    """A run with data and a base of its own, which starts from another one's adapter."""
    first = runner("first", train__max_steps=1)
    first()
    made = runner("run", train__init_from=first.folder / "adapter")
    made.base, made.data = tmp_path / "base", tmp_path / "data"
    shutil.copytree(first.base, made.base)
    shutil.copytree(e2e_dir, made.data)
    return made


def edit(path: Path, before: str, after: str) -> Path:
    """As many bytes as before."""
    text = path.read_text()
    assert before in text
    assert len(before) == len(after)
    path.write_text(text.replace(before, after))
    return path


def another_row(run: Runner) -> Path:
    return edit(run.data / "train.txt", "There is a place", "There is a plaza")


def a_row_more(run: Runner) -> Path:
    path = run.data / "train.txt"
    path.write_text(path.read_text() + "name : Zizzi||Zizzi is new .\n")
    return path


def fewer_rows(run: Runner) -> Path:
    path = run.data / "train.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:8]))
    return path


def validation(run: Runner) -> Path:
    return edit(run.data / "valid.txt", "There is a place", "There is a plaza")


def test_rows(run: Runner) -> Path:
    return edit(run.data / "test.txt", "There is a place", "There is a plaza")


def weights(run: Runner) -> Path:
    return weights_of(run.base)


def weights_of(base: Path) -> Path:
    path = base / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    return path


def config(run: Runner) -> Path:
    path = run.base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layer_norm_epsilon": 1e-3}))
    return path


def tokenizer(run: Runner) -> Path:
    path = run.base / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"add_prefix_space": True}))
    return run.base


def start(run: Runner) -> Path:
    folder = run.changes["train__init_from"]
    other = Runner(run.base, run.data, folder.parent, {"train__max_steps": 1, "train__seed": 9})
    shutil.rmtree(folder.parent)
    other()
    return folder / "adapter.safetensors"


test_rows.__test__ = False  # type: ignore[attr-defined]
CHANGES: dict[str, Change] = {
    "data.train": another_row,
    "data.train, one more": a_row_more,
    "data.train, fewer": fewer_rows,
    "data.valid": validation,
    "data.test": test_rows,
    "base.weights": weights,
    "base.config": config,
    "base.tokenizer": tokenizer,
    "train.init_from": start,
}
EVERY_CHANGE = pytest.mark.parametrize("name", CHANGES)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(run: Runner, place: Path, name: str, options: TrainOptions, **more: Any) -> RecipeError:
    """By name and file, and nothing is touched."""
    before = contents(run.folder)
    with pytest.raises(RecipeError) as caught:
        run(options, **more)
    assert f"changed since: {name.partition(',')[0]} ({place})" in caught.value.message
    assert caught.value.message.count("(/") == 1, "only what changed is named"
    assert contents(run.folder) == before
    return caught.value


@EVERY_CHANGE
def test_an_interrupted_run_goes_on_with_what_it_began_with_alone(name: str, run: Runner) -> None:
    with pytest.raises(InterruptedRunError):
        run(group=ProcessGroup(StopAt(9)))
    place = CHANGES[name](run)
    for options in (TrainOptions(), TrainOptions(resume="must"), TrainOptions(show_anyway=True)):
        error = assert_refused(run, place, name, options)
        assert SetArgument("resume", "never", "starts over") in error.remedies
    assert_refused(run, place, name, TrainOptions(extend=True), train__epochs=3)
    if name in ("base.weights", "base.config"):
        with pytest.raises(WrongBaseError):  # the adapter that it starts from is of the base as it was
            run(TrainOptions(resume="never"))
        return
    assert not run(TrainOptions(resume="never")).already_finished
    assert run().already_finished


@EVERY_CHANGE
def test_a_finished_run_is_shown_as_long_as_it_is_this_one(name: str, run: Runner) -> None:
    scores = run(train__epochs=1).scores
    assert run(train__epochs=1).already_finished
    place = CHANGES[name](run)
    error = assert_refused(run, place, name, TrainOptions(), train__epochs=1)
    assert [each.name for each in error.remedies if isinstance(each, SetArgument)] == [
        "resume",
        "show_anyway",
    ]
    assert_refused(run, place, name, TrainOptions(extend=True, show_anyway=True), train__epochs=2)
    before = contents(run.folder)
    shown = run(TrainOptions(show_anyway=True), train__epochs=1)
    assert shown.already_finished
    assert shown.scores == scores
    assert any("have changed since" in note and str(place) in note for note in run.notes)
    assert contents(run.folder) == before


def test_the_hashes_stand_in_checkpoint_adapter_and_scores(run: Runner) -> None:
    result = run(train__epochs=1)
    inputs = result.scores["inputs"]
    names = {name.partition(",")[0] for name in CHANGES}
    assert inputs.keys() == names
    assert run.checkpoint.state["inputs"] == inputs
    made = read_adapter(result.adapter).card.provenance
    assert {f"data.{split}": sha256 for split, sha256 in made.data.items()} | made.inputs == {
        name: each["sha256"] for name, each in inputs.items() if name not in ("base.config", "base.weights")
    }


@pytest.fixture
def labelled(tmp_path: Path) -> Callable[..., TrainResult]:
    """Trains a classifier on the folder `rows`, whose rows tell the labels and whose files tell the splits."""
    base = save_encoder(tmp_path / "encoder", "roberta")
    for name in ("train", "valid"):
        write_labelled(tmp_path / "rows" / f"{name}.jsonl", ("bad", "good"))
    changes = {"task__name": "classification", "train__epochs": 1}
    recipe = write_recipe(tmp_path / "labels.toml", base, tmp_path / "rows", **changes)

    def run(options: TrainOptions | None = None, group: ProcessGroup | None = None) -> TrainResult:
        plan = load_plan(str(recipe), [])
        return train(
            plan, tmp_path / "run", lambda _: None, options or TrainOptions(), group or ProcessGroup()
        )

    return run


def write_labelled(path: Path, names: tuple[str, ...]) -> None:
    path.parent.mkdir(exist_ok=True)
    rows = [
        {"text": f"{text} {i}", "label": names[i % len(names)]} for i, (text, _) in enumerate(sentences(18))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_labels_that_come_from_other_rows_are_a_change_of_the_rows(
    labelled: Callable[..., TrainResult], tmp_path: Path
) -> None:
    labelled()
    write_labelled(tmp_path / "rows" / "train.jsonl", ("bad", "good", "odd"))
    with pytest.raises(
        RecipeError, match=r"other inputs \(changed since: data.train \(.*train.jsonl\)\)"
    ) as caught:
        labelled()
    assert "another recipe" not in caught.value.message
    assert labelled(TrainOptions(show_anyway=True)).already_finished
    assert not labelled(TrainOptions(resume="never")).already_finished


def test_a_split_that_comes_or_goes_is_a_change(labelled: Callable[..., TrainResult], tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError):
        labelled(group=ProcessGroup(StopAt(3)))
    valid, test = (tmp_path / "rows" / f"{name}.jsonl" for name in ("valid", "test"))
    write_labelled(test, ("bad", "good"))
    with pytest.raises(RecipeError, match=r"changed since: data.test \(.*test.jsonl\)"):
        labelled()
    test.unlink()
    valid.rename(tmp_path / "kept")
    with pytest.raises(RecipeError, match=r"changed since: data.valid \(.*valid.jsonl\)"):
        labelled()
    (tmp_path / "kept").rename(valid)
    assert not labelled().already_finished


def test_a_finished_run_without_its_data_and_base_is_shown(cli: Callable[..., Any], tmp_path: Path) -> None:
    base, rows = save_encoder(tmp_path / "encoder", "roberta"), tmp_path / "rows.jsonl"
    write_labelled(rows, ("bad", "good"))
    data = {"data__train": str(rows), "data__valid": str(rows), "data__dir": None, "train__epochs": 1}
    changes = {"task__name": "classification", **data}
    recipe = write_recipe(
        tmp_path / "labels.toml", base, tmp_path, **{k: v for k, v in changes.items() if v is not None}
    )
    command = ("train", recipe, "--output", tmp_path / "run", "--json")
    scores = json.loads(cli(*command).stdout)["scores"]
    rows.rename(tmp_path / "kept")
    shown = cli(*command)
    assert json.loads(shown.stdout)["scores"] == scores
    assert f"not here any more: data.train ({rows})" in shown.stderr
    base.rename(tmp_path / "away")
    assert "base.weights" in cli(*command).stderr
    assert "no such file" in cli(*command, "--resume", "never", code=3).stderr
    assert "no such file" in cli(*command, "--set", "train.seed=3", code=3).stderr
    (tmp_path / "away").rename(base)
    weights_of(base)
    assert "other inputs (changed since: base.weights" in cli(*command, code=2).stderr
    assert json.loads(cli(*command, "--show-anyway").stdout)["scores"] == scores


def test_what_is_gone_is_said_and_the_finished_run_is_shown(run: Runner) -> None:
    run(train__epochs=1)
    (run.data / "test.txt").unlink()
    shutil.rmtree(run.changes["train__init_from"])
    assert run(train__epochs=1).already_finished
    (note,) = [note for note in run.notes if "not here any more" in note]
    assert str(run.data / "test.txt") in note
    assert "train.init_from" in note
    with pytest.raises(NotFoundError):
        run(TrainOptions(resume="never"), train__epochs=1)


def test_a_run_of_an_earlier_lorafit_says_what_it_cannot_compare(run: Runner) -> None:
    """It recorded the base's weights in a checkpoint, and in a finished adapter its rows and its base."""
    with pytest.raises(InterruptedRunError):
        run(group=ProcessGroup(StopAt(9)))
    for progress in (run.folder / "checkpoints").glob("*/progress.json"):
        state = json.loads(progress.read_text())
        weights_hash = state.pop("inputs")["base.weights"]["sha256"]
        progress.write_text(json.dumps(state | {"weights_hash": weights_hash}))
        manifest = progress.with_name("manifest.json")
        files = json.loads(manifest.read_text())
        files["files"].pop("progress.json")
        manifest.write_text(json.dumps(files))
    run()
    assert any("did not record" in note and "data.train" in note for note in run.notes)
    scores = run.folder / "scores.json"
    document = json.loads(scores.read_text())
    del document["inputs"]
    scores.write_text(json.dumps(document))
    assert run().already_finished
    place = another_row(run)
    assert_refused(run, place, "data.train", TrainOptions())


def test_eval_says_what_changed_since(run: Runner) -> None:
    adapter = run(train__epochs=1).adapter
    said: list[str] = []

    def say(event: Event) -> None:
        said.extend([event.text] if isinstance(event, Note) else [])

    def scores_of(split: Split, data: Path | None = None) -> dict[str, Any]:
        said.clear()
        options = EvaluateOptions(split, data)
        section = EvalSection(metrics=("bleu",))
        result = evaluate(adapter, BaseChoice(), options, section, say, ProcessGroup())
        return dict(result.scores["inputs"])

    before = scores_of("test")
    assert before.keys() == {"data.test", "base.config", "base.weights", "base.tokenizer"}
    assert said == []
    places = test_rows(run), tokenizer(run)
    after = scores_of("test")
    assert after["data.test"]["sha256"] != before["data.test"]["sha256"]
    assert said == [
        f"{name} ({place}) has changed since {adapter} was trained and scored"
        for name, place in zip(("data.test", "base.tokenizer"), places, strict=True)
    ]
    scores_of("test", data=run.data / "valid.txt")
    assert [note.partition(" ")[0] for note in said] == ["base.tokenizer"]


def test_a_file_that_was_only_touched_is_the_same(run: Runner) -> None:
    run(train__epochs=1)
    for path in (run.data / "train.txt", run.base / "model.safetensors"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    assert run(train__epochs=1).already_finished


def test_looking_at_all_inputs_takes_no_time() -> None:
    plan = load_plan("quickstart", [])
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        Inputs.of(plan.recipe, plan.rows)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.3
