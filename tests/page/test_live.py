"""The page while a run goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lorafit
from lorafit.run.events import Event, Note, Saved, Started
from tests.conftest import CONTEXTS, e2e_rows
from tests.support.adapter_fixtures import run_here

RECIPE = """
model = {{ base = "{base}", dropout = 0.0 }}
method = {{ name = "lora", r = 2, alpha = 4, targets = "c_attn" }}
task = {{ name = "e2e" }}
data = {{ dir = "{data}" }}
train = {{ epochs = 2, batch_size = 8, learning_rate = 0.01, log_every = 1 }}
decode = {{ num_beams = 1, max_new_tokens = 4, eos_token_ids = [0] }}
eval = {{ metrics = ["bleu"] }}
"""


@pytest.fixture
def recipe(gpt2_base: Path, tmp_path: Path) -> Path:
    """Two short epochs on a few texts."""
    for split, contexts in {"train": CONTEXTS[:4], "valid": CONTEXTS[4:5], "test": CONTEXTS[5:6]}.items():
        (tmp_path / f"{split}.txt").write_text(e2e_rows(contexts))
    path = tmp_path / "small.toml"
    path.write_text(RECIPE.format(base=gpt2_base, data=tmp_path))
    return path


def test_the_page_is_drawn_at_each_validation(recipe: Path, tmp_path: Path) -> None:
    run, seen = tmp_path / "run", list[str]()

    def look(event: Event) -> None:
        """The first file that is saved after a validation finds its page there."""
        match event:
            case Saved(folder) if folder.name == "adapter-last":
                seen.append((run / "report.html").read_text(encoding="utf-8"))

    lorafit.train(recipe, output=run, report=look)
    assert len(seen) == 2
    for epoch, page in enumerate(seen, start=1):
        assert f"running, step {epoch} of 2" in page
        assert f"epoch {epoch} of {epoch}" in page
    page = (run / "report.html").read_text(encoding="utf-8")
    assert '<span class="state finished">finished</span>' in page


def test_a_page_that_cannot_be_drawn_is_one_note_and_the_run_goes_on(recipe: Path, tmp_path: Path) -> None:
    run, notes = tmp_path / "run", list[str]()

    def report(event: Event) -> None:
        match event:
            case Started():
                (run / "report.html" / "in the way").mkdir(parents=True)
            case Note(text):
                notes.append(text)

    result = lorafit.train(recipe, output=run, report=report)
    assert result.scores["scores"].keys() == {"bleu"}
    assert (run / "scores.json").is_file()
    (said,) = [text for text in notes if "report.html: cannot be drawn" in text]
    assert said.count("report.html") == 1


def test_a_run_that_is_refused_leaves_the_page_as_it_is(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    lorafit.train(recipe, output=run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(lorafit.LorafitError, match="another recipe"):
        lorafit.train(recipe, {"method.r": 4}, output=run)
    lorafit.train(recipe, output=run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_sweep_has_a_page_and_so_has_each_of_its_runs(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "sweep"
    rates = "train.learning_rate=0.01,0.02"
    done = run_here(monkeypatch, ["sweep", recipe, "--grid", rates, "--output", output])
    assert done.code == 0, done.err
    assert f"page:        {output / 'report.html'}" in done.out
    assert f"next:        lorafit predict {output}/" in done.out
    sweep = json.loads((output / "sweep.json").read_text())
    page = (output / "report.html").read_text(encoding="utf-8")
    assert sweep["answer"][1:] in page
    for member in sweep["members"]:
        assert "finished</span>" in (output / member["run"] / "report.html").read_text(encoding="utf-8")
        assert f'data-value="{member["scores"]["bleu"]}"' in page
