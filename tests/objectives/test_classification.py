"""The head on packed rows is the head on plain ones: same outputs, loss and gradients as transformers' own forward."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lorafit.data import LabelRow
from lorafit.data.encoding.labelled import pad_labelled
from lorafit.methods import LoRA
from lorafit.models import Model, load_base, load_config
from lorafit.objectives import BaseFacts, Classification, Prediction, Settings, objective_for
from lorafit.objectives.classification import label_outputs
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.tasks import make_task
from lorafit.training import ProcessGroup, label_loss_sum
from tests.support.tiny_encoders import ENCODERS, save_encoder, sentences

PAIRS = [
    LabelRow({"a": a, "b": b}, float(label))
    for (a, label), (b, _) in zip(sentences(13), sentences(14)[1:], strict=True)
]


def objective_of(model: Model, task: str = "mnli", max_length: int = 512) -> Classification:
    settings = Settings(DataSection(max_length=max_length), DecodeSection(), EvalSection())
    made = objective_for(make_task(task), BaseFacts(model.net.config, model.family), settings)
    assert isinstance(made, Classification)
    return made


def model_of(folder: Path, model_type: str, num_labels: int = 3) -> Model:
    save_encoder(folder, model_type)
    base = str(folder)
    model = load_base(
        load_config(base, num_labels=num_labels, dropout=0.0, head_dropout=0.0), base, None, "label"
    )
    LoRA(r=2, alpha=4, init="paper-gpt2").attach(model, torch.Generator().manual_seed(1))
    return model


@pytest.mark.parametrize("model_type", ENCODERS)
def test_outputs_loss_and_gradients_are_those_of_transformers_on_padded_rows(
    model_type: str, tmp_path: Path
) -> None:
    model = model_of(tmp_path, model_type)
    encoded = objective_of(model, max_length=64).encoder(model.require_tokenizer()).encode(PAIRS).examples
    padded = pad_labelled(encoded, model.net.config.pad_token_id)
    plain = model.net(
        input_ids=padded.input_ids,
        attention_mask=padded.attention_mask,
        token_type_ids=padded.token_type_ids,
    ).logits
    expected = F.cross_entropy(plain, padded.labels.long())
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in model.trained().items() if p.grad is not None}
    assert gradients.keys() == model.trained().keys()
    model.net.zero_grad()

    objective = objective_of(model)
    objective.prepare(model)
    batch = objective.collate([encoded])
    outputs = label_outputs(model, batch)
    loss = label_loss_sum(outputs, batch.labels, 0.0) / len(PAIRS)
    loss.backward()

    assert ((batch.num_places,) == batch.num_tokens) == model.family.pluggable_attention
    torch.testing.assert_close(outputs, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for name, parameter in model.trained().items():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("model_type", ENCODERS)
def test_predictions_do_not_depend_on_batching_and_come_in_order(model_type: str, tmp_path: Path) -> None:
    model = model_of(tmp_path, model_type, num_labels=1)
    objective, group = objective_of(model, "stsb"), ProcessGroup()
    objective.prepare(model)
    model.net.train()
    batches = objective.prediction_batches(model, PAIRS)
    assert sorted(i for batch in batches for i in batch) == list(range(len(PAIRS)))
    done = [p for batch in objective.predict(model, PAIRS, batches, group) for p in batch]
    together = {prediction.index: prediction.value for prediction in done}
    for index, row in enumerate(PAIRS):
        [[alone]] = objective.predict(model, [row], [[0]], group)
        assert alone.value == pytest.approx(together[index], rel=1e-5, abs=1e-5)
    assert model.net.training


def test_a_pair_loses_the_end_of_its_longer_text(tmp_path: Path) -> None:
    model = model_of(tmp_path, "bert")
    long = LabelRow({"a": " ".join(["film"] * 40), "b": "a film"}, 0.0)
    tokenizer = model.require_tokenizer()
    cut = objective_of(model, max_length=16).encoder(tokenizer).encode([long])
    [example] = cut.examples
    assert (len(example.ids), list(cut.lengths), list(cut.cut)) == (16, [45], [0])
    assert example.types == (0,) * 13 + (1,) * 3  # [CLS] 11 [SEP] | a film [SEP]
    [whole] = objective_of(model).encoder(tokenizer).encode([long]).examples
    assert len(whole.ids) == 45
    roberta = model_of(tmp_path / "roberta", "roberta")
    alone = LabelRow({"a": "film " * 99}, 0.0)
    [example] = objective_of(roberta).encoder(roberta.require_tokenizer()).encode([alone]).examples
    assert len(example.ids) == 64  # 66 positions, of which two lie before the first token


def test_squared_error_is_summed() -> None:
    outputs, labels = torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 4.0])
    assert label_loss_sum(outputs, labels, 0.0).item() == 5.0


def test_label_smoothing_is_that_of_torch() -> None:
    outputs, labels = (
        torch.randn(5, 3, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0.0, 1, 2, 1, 0]),
    )
    expected = F.cross_entropy(outputs, labels.long(), label_smoothing=0.1, reduction="sum")
    torch.testing.assert_close(label_loss_sum(outputs, labels, 0.1), expected)


def test_rows_without_a_label_are_counted_not_scored(tmp_path: Path) -> None:
    objective = objective_of(model_of(tmp_path, "bert"))
    rows = [LabelRow({"a": "x", "b": "y"}, label) for label in (0.0, None, 1.0)]
    scores = objective.score(rows, [Prediction(i, 0.0) for i in range(3)])
    assert scores.all["accuracy"] == 0.5
    assert "1 of 3 rows have no label, and are not scored" in scores.notes
