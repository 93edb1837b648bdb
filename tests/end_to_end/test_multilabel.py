"""Texts in several classes at once: from rows to a merged model that transformers' pipeline reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import pipeline

from lorafit.data import RawRow
from lorafit.models import load_base, load_config
from lorafit.objectives import BaseFacts, Settings, objective_for
from lorafit.objectives.classification import label_outputs
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.tasks import make_task
from tests.end_to_end.test_decoder_labels import predictions, save_decoder, train
from tests.support.rows import save_rows
from tests.support.tiny_encoders import save_encoder, sentences

Run = Callable[..., Any]
LABELS = ("good", "long")


def tagged(count: int = 60) -> list[dict[str, Any]]:
    """Reviews that are good or not and long or not: none, one or two tags each."""
    return [
        {"text": f"{text} {i}", "label": [*["good"] * label, *["long"] * (" and so on" in text)]}
        for i, (text, label) in enumerate(sentences(count))
    ]


@pytest.mark.parametrize("kind", ["roberta", "gpt2"])
def test_lists_of_tags_become_a_model_that_says_them(kind: str, cli: Run, tmp_path: Path) -> None:
    base = (save_encoder if kind == "roberta" else save_decoder)(tmp_path / "base", kind)
    rows, run = save_rows(tmp_path / "rows.jsonl", tagged()), tmp_path / "run"
    trained = train(cli, base, rows, run, task__name="multilabel", train__epochs=4)
    assert trained["scores"].keys() == {"micro_f1", "macro_f1", "subset_accuracy"}
    assert trained["scores"]["micro_f1"] > 0.5
    assert trained["classes"].keys() == set(LABELS)
    lines = predictions(run)
    for line in lines:
        likely = [name for name, share in line["probabilities"].items() if share > 0.5]
        assert line["prediction"] == likely
        assert line["label"] in ([], ["good"], ["long"], ["good", "long"])
    again = json.loads(cli("eval", run / "adapter", "--split", "valid", "--json").stdout)
    assert again["scores"] == trained["scores"]
    texts = [line["input"]["text"] for line in lines]
    assert cli("predict", run / "adapter", *texts[:3]).stdout.splitlines() == [
        ", ".join(line["prediction"]) for line in lines[:3]
    ]

    cli("merge", run / "adapter", tmp_path / "merged")
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert (config["problem_type"], config["id2label"]) == (
        "multi_label_classification",
        dict(zip("01", LABELS, strict=True)),
    )
    tag: Any = pipeline("text-classification", model=str(tmp_path / "merged"), device="cpu", top_k=None)
    said = [{each["label"] for each in answers if each["score"] > 0.5} for answers in tag(texts)]
    assert said == [set(line["prediction"]) for line in lines]
    compared: dict[str, Any] = json.loads(cli("compare", run, run, "--json").stdout)
    assert (compared["num_examples"], compared["better"], compared["worse"]) == (len(lines), 0, 0)

    cli("export", run / "adapter", tmp_path / "peft")
    cli(
        "import",
        tmp_path / "peft",
        tmp_path / "back",
        "--format",
        "peft",
        "--base",
        base,
        "--task",
        "multilabel",
    )
    told = cli("predict", tmp_path / "back", texts[0]).stdout.strip()
    names = [f"LABEL_{LABELS.index(name)}" for name in lines[0]["prediction"]]
    assert told == ", ".join(names)


def test_a_csv_says_its_classes_with_a_separator_or_in_json(cli: Run, tmp_path: Path) -> None:
    base = save_encoder(tmp_path / "base", "roberta")
    rows = tagged(30)
    found = []
    for name, spelt in (("parts", ";".join), ("json", json.dumps)):
        lines = [f"{row['text']}|{spelt(row['label'])}" for row in rows]
        path = tmp_path / f"{name}.csv"
        cells = [[line.split("|")[0], line.split("|")[1].replace('"', '""')] for line in lines]
        path.write_text("text,label\n" + "".join(f'{a},"{b}"\n' for a, b in cells))
        more = {"task__label_separator": '";"'} if name == "parts" else {}
        train(cli, base, path, tmp_path / name, task__name="multilabel", train__max_steps=3, **more)
        found.append(predictions(tmp_path / name))
    assert found[0] == found[1]


def test_a_class_that_training_rows_do_not_have_is_said_with_its_line(cli: Run, tmp_path: Path) -> None:
    base, rows = save_encoder(tmp_path / "base", "bert"), save_rows(tmp_path / "rows.jsonl", tagged(30))
    valid = save_rows(tmp_path / "valid.jsonl", [*tagged(2), {"text": "x", "label": ["good", "odd"]}])
    chosen = {"model.base": base, "data.train": rows, "data.valid": valid, "task.name": "multilabel"}
    settings = [part for key, value in chosen.items() for part in ("--set", f"{key}={value}")]
    error = cli("train", "own_classification", *settings, "--output", tmp_path / "run", code=3).stderr
    assert "valid.jsonl:3: label 'odd' is none of good, long" in error


def test_the_loss_is_that_of_transformers_and_no_member_s_share_changes_it(tmp_path: Path) -> None:
    base = str(save_encoder(tmp_path, "roberta"))
    config = load_config(base, num_labels=2, dropout=0.0, head_dropout=0.0)
    config.problem_type = "multi_label_classification"
    model = load_base(config, base, None, "labels")
    task = make_task("multilabel", labels=LABELS)
    settings = Settings(DataSection(), DecodeSection(), EvalSection())
    objective = objective_for(task, BaseFacts(config, model.family), settings)
    objective.prepare(model)
    rows = [task.parse(RawRow(i, row), "train") for i, row in enumerate(tagged(7), 1)]
    examples = objective.encoder(model.require_tokenizer()).encode(rows).examples
    whole = objective.collate([examples])
    total = objective.loss_sums(model, whole, [0.0])
    expected = F.binary_cross_entropy_with_logits(label_outputs(model, whole), whole.labels)
    torch.testing.assert_close(total[0] / whole.target_weights[0], expected)
    parts = objective.collate([examples[:3], examples[3:]])
    torch.testing.assert_close(objective.loss_sums(model, parts, [0.0, 0.0]).sum(), total[0])
    assert parts.num_targets == (3, 4)
