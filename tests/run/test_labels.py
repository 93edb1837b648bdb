"""Training of a classifier as a whole: what comes out does not depend on how the work is cut up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lorafit.adapters import BaseChoice, read_adapter
from lorafit.errors import AdapterError, DivergedError, NotFoundError, RecipeError
from lorafit.methods import METHODS
from lorafit.recipe import EvalSection
from lorafit.run import events
from lorafit.run.options import TrainOptions
from lorafit.run.plan import load_plan
from lorafit.run.train import TrainResult, train
from lorafit.training import ProcessGroup
from lorafit.verbs.evaluate import EvaluateOptions, evaluate
from tests.support.glue_recipes import write_recipe
from tests.support.tiny_encoders import save_encoder, write_rte, write_sst2

Train = Callable[..., tuple[TrainResult, list[Any]]]


@pytest.fixture(scope="module")
def glue_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("glue")
    write_sst2(root)
    return write_rte(root)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("bases")
    return {name: save_encoder(root / name, name) for name in ("roberta", "bert", "deberta-v2")}


@pytest.fixture
def run(tmp_path: Path, bases: dict[str, Path], glue_dir: Path) -> Train:
    """Train in this process: (result, events)."""

    def carry_out(name: str, base: str = "roberta", **changes: Any) -> tuple[TrainResult, list[Any]]:
        recipe = write_recipe(tmp_path / f"{name}.toml", bases[base], glue_dir, **changes)
        seen: list[Any] = []
        return train(
            load_plan(str(recipe), []), tmp_path / name, seen.append, TrainOptions(), ProcessGroup()
        ), seen

    return carry_out


def notes(seen: list[Any]) -> list[str]:
    return [event.text for event in seen if isinstance(event, events.Note)]


def tensors(result: TrainResult) -> dict[str, torch.Tensor]:
    return load_file(result.adapter / "adapter.safetensors")


@pytest.mark.parametrize("base", ["roberta", "bert", "deberta-v2"])
def test_micro_batches_change_nothing(base: str, run: Train) -> None:
    options = {"model__dropout": 0.0, "model__head_dropout": 0.0, "train__max_steps": 5}
    options |= {"train__adam_epsilon": 1e-3}  # else Adam makes large steps of the last digit's gradients
    whole, parts = (
        tensors(run(f"by_{size}", base, train__micro_batch_size=size, **options)[0]) for size in (8, 3)
    )
    assert whole.keys() == parts.keys()
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], rtol=1e-4, atol=1e-5, msg=name)


def test_the_score_is_the_best_epoch_s_and_the_predictions_give_it(run: Train) -> None:
    result, seen = run("best", train__epochs=4)
    validated = [event for event in seen if isinstance(event, events.Validated)]
    best = max(validated, key=lambda event: event.scores["accuracy"])
    assert result.scores["scores"]["accuracy"] == best.scores["accuracy"]
    assert [event for event in validated if event.best][-1].scores == best.scores
    lines = (result.run / "predictions" / "valid.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows[0].keys() == {"input", "label", "prediction", "probabilities"}
    for row in rows:
        assert max(row["probabilities"], key=row["probabilities"].get) == row["prediction"]
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert rows[0]["input"].keys() == {"sentence"}
    right = sum(row["label"] == row["prediction"] for row in rows)
    assert right / len(rows) == pytest.approx(best.scores["accuracy"])
    assert best.scores["accuracy"] > 0.8  # one word tells


def test_head_and_adapter_are_saved_and_nothing_else(run: Train) -> None:
    saved = {
        base: {name.partition(".")[0] for name in tensors(run(base, base, train__max_steps=4)[0])}
        for base in ("roberta", "bert", "deberta-v2")
    }
    assert saved == {
        "roberta": {"roberta", "classifier"},
        "bert": {"bert", "classifier"},
        "deberta-v2": {"deberta", "pooler", "classifier"},
    }


def test_a_fresh_head_comes_from_the_seed_alone(run: Train) -> None:
    def first_loss(name: str, seed: int, **options: Any) -> float:
        options |= {"model__dropout": 0.0, "model__head_dropout": 0.0, "train__shuffle": False}
        _, seen = run(name, train__max_steps=1, train__seed=seed, **options)
        [loss] = [event.loss for event in seen if type(event).__name__ == "Stepped"]
        return float(loss)

    assert first_loss("a", 1) == first_loss("b", 1, method__r=2)
    assert first_loss("c", 2) != first_loss("d", 1)


def test_bucketed_order_pads_less(run: Train) -> None:
    def places(order: str) -> int:
        _, seen = run(order, "deberta-v2", train__batch_order=order, train__epochs=1)
        return sum(event.num_places for event in seen if type(event).__name__ == "Stepped")

    assert places("bucketed") < places("random")


def test_padding_is_logged(run: Train) -> None:
    for base, padded in (("deberta-v2", True), ("bert", False)):
        result, _ = run(f"log_{base}", base, train__max_steps=4)
        log = [json.loads(line) for line in (result.run / "metrics.jsonl").read_text().splitlines()]
        shares = [line["padding"] for line in log if line["event"] == "step"]
        assert any(share > 0 for share in shares) == padded


def test_a_collapsed_classifier_is_reported(run: Train) -> None:
    _, seen = run("collapsed", train__learning_rate=1e-6, train__epochs=1)
    assert any("collapsed: the answer to all 24 validation examples is" in note for note in notes(seen))


def test_a_loss_that_is_no_number_keeps_the_last_good_adapter(run: Train, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "train__weight_decay": 1e5,
        "train__warmup_ratio": 0.0,
        "train__batch_size": 24,
    }
    with pytest.raises(DivergedError, match="last good adapter is in") as caught:
        run("diverged", **changes)  # times a thousand in each step, and an epoch is a step
    assert caught.value.exit_code == 5
    kept = read_adapter(tmp_path / "diverged" / "adapter-last")
    assert all(tensor.isfinite().all() for tensor in kept.tensors.values())
    assert kept.fingerprint is not None
    assert kept.fingerprint.trained.isfinite().all()


def test_regression(run: Train, glue_dir: Path) -> None:
    folder = glue_dir / "STS-B"
    folder.mkdir(exist_ok=True)
    rows = [f"Anna saw a {word} film\tfilm\t{score}" for word, score in (("lovely", 4.5), ("awful", 0.5)) * 8]
    for name in ("train", "dev"):
        (folder / f"{name}.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]) + "\n")
    result, _ = run("stsb", task__name="stsb", train__epochs=40, train__learning_rate=0.03)
    assert result.scores["scores"]["pearson"] > 0.9
    assert isinstance(result.samples[0]["prediction"], float)


class TestWarmStart:
    """method.init_from"""

    @pytest.mark.parametrize("base", ["roberta", "bert", "deberta-v2"])
    def test_lora_comes_along_and_the_head_is_fresh(self, base: str, run: Train) -> None:
        source, _ = run("source", base, train__max_steps=6)
        cold, _ = run("cold", base, task__name="rte", train__max_steps=1, train__warmup_ratio=1.0)
        options = {"task__name": "rte", "method__init_from": str(source.adapter)}
        # one step with learning rate 0: what is saved is what training started from
        warm, seen = run("warm", base, **options, train__max_steps=1, train__warmup_ratio=1.0)
        before, fresh, after = tensors(source), tensors(cold), tensors(warm)
        for name, tensor in after.items():
            kept = ".lora_" in name or (base == "deberta-v2" and name.startswith("pooler."))
            assert torch.equal(tensor, (before if kept else fresh)[name]), name
            assert not torch.equal(before[name], fresh[name]), name
        [note] = [note for note in notes(seen) if "LoRA" in note]
        along = " and pooler" if base == "deberta-v2" else ""
        head = "bert.pooler, classifier" if base == "bert" else "classifier"
        assert note == f"LoRA{along} from {source.adapter} (task sst2), head fresh ({head})"

    def test_what_does_not_fit_is_refused_before_training(self, run: Train, tmp_path: Path) -> None:
        source, _ = run("source", train__max_steps=4)
        start = {"task__name": "rte", "method__init_from": str(source.adapter)}
        with pytest.raises(RecipeError, match="has r = 4, and this recipe 2"):
            run("rank", **start, method__r=2)
        with pytest.raises(RecipeError, match="has alpha = 8, and this recipe 16"):
            run("alpha", **start, method__alpha=16)
        with pytest.raises(AdapterError, match="also trained"):
            run("fewer", **start, method__targets=["query"])
        with pytest.raises(AdapterError, match="is missing"):
            run("more", **start, method__targets=["query", "key", "value"])
        other = save_encoder(tmp_path / "other", "roberta", seed=5)
        with pytest.raises(AdapterError, match="in its weights"):
            run("base", **start, model__base=str(other))

    def test_a_missing_source_is_said_at_the_dry_run_and_refused_at_training(
        self, run: Train, tmp_path: Path
    ) -> None:
        missing = tmp_path / "nowhere"
        with pytest.raises(NotFoundError, match="no such adapter folder"):
            run("missing", method__init_from=str(missing))
        [note] = load_plan(str(tmp_path / "missing.toml"), []).notes
        assert f"{missing} is missing" in note


def test_an_encoder_writes_nothing(run: Train) -> None:
    with pytest.raises(RecipeError, match="writes no text, which e2e needs; take one of gpt2, llama"):
        run("encoder", task__name="e2e")


@pytest.mark.parametrize(
    ("hub_id", "task", "r", "num_lora", "num_head"),
    [
        ("FacebookAI/roberta-base", "rte", 8, 294_912, 592_130),
        ("FacebookAI/roberta-large", "mnli", 8, 786_432, 1024 * 1024 + 1024 + 3 * 1024 + 3),
        ("microsoft/deberta-v2-xxlarge", "stsb", 16, 4_718_592, 1536 * 1536 + 1536 + 1536 + 1),
    ],
)
def test_the_paper_s_parameter_counts(
    hub_id: str, task: str, r: int, num_lora: int, num_head: int, tmp_path: Path
) -> None:
    changes = {"model__base": hub_id, "method__r": r, "task__name": task, "data__dir": str(tmp_path)}
    recipe = write_recipe(tmp_path / "a.toml", tmp_path, tmp_path, **changes)
    recipe.write_text(recipe.read_text().replace(f'dir = "{tmp_path}"', ""))
    plan = load_plan(str(recipe), [])
    assert (plan.num_trained, plan.num_head) == (num_lora, num_head)
    assert not plan.rows_known


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_a_classifier_and_restores_it(
    method: str, bases: dict[str, Path], glue_dir: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "a.toml", bases["bert"], glue_dir)
    text = recipe.read_text().replace('name = "lora"\nr = 4\nalpha = 8', f'name = "{method}"')
    recipe.write_text(text)
    plan = load_plan(str(recipe), ["train.max_steps=8"])  # enough for the check that everything has moved
    result = train(plan, tmp_path / "run", lambda _: None, TrainOptions(), ProcessGroup())
    section = EvalSection()
    again = evaluate(
        result.adapter,
        BaseChoice(),
        EvaluateOptions("valid", output=tmp_path / "eval"),
        section,
        lambda _: None,
        ProcessGroup(),
    )
    assert again.scores["scores"] == result.scores["scores"]
    before, after = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (result.run / "predictions" / "valid.jsonl", tmp_path / "eval" / "predictions.jsonl")
    )
    assert before == after
