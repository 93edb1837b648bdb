"""The head on packed rows is the head on plain ones: same outputs, loss and gradients as transformers' own forward."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lorafit.data import LabelledText, encode_labelled, pad_labelled
from lorafit.evaluation import collate, encode_for, label_outputs, predict_outputs
from lorafit.methods import LoRA
from lorafit.models import Model, load_base, load_config, take_packed_rows
from lorafit.training import label_loss_sum
from tests.support.tiny_encoders import ENCODERS, save_encoder, sentences

PAIRS = [
    LabelledText({"a": a, "b": b}, float(label))
    for (a, label), (b, _) in zip(sentences(13), sentences(14)[1:], strict=True)
]


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
    encoded = encode_for(model, PAIRS, 64)
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

    if model.family.packs:
        take_packed_rows(model.net)
    batch = collate(model, encoded)
    outputs = label_outputs(model, batch)
    loss = label_loss_sum(outputs, batch.labels, 0.0) / len(PAIRS)
    loss.backward()

    assert (batch.num_places == batch.num_tokens) == model.family.packs
    torch.testing.assert_close(outputs, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for name, parameter in model.trained().items():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("model_type", ENCODERS)
def test_predictions_do_not_depend_on_batching_and_come_in_order(model_type: str, tmp_path: Path) -> None:
    model = model_of(tmp_path, model_type)
    if model.family.packs:
        take_packed_rows(model.net)
    encoded = encode_for(model, PAIRS, 64)
    model.net.train()
    together = predict_outputs(model, encoded)
    alone = torch.cat([predict_outputs(model, [example]) for example in encoded])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert model.net.training


def test_a_pair_loses_the_end_of_its_longer_text(tmp_path: Path) -> None:
    model = model_of(tmp_path, "bert")
    assert model.tokenizer is not None
    long = LabelledText({"a": " ".join(["film"] * 40), "b": "a film"}, 0.0)
    [encoded] = encode_labelled(model.tokenizer, [long], 16, 2)
    assert len(encoded.ids) == 16
    assert encoded.types == (0,) * 13 + (1,) * 3  # [CLS] 11 [SEP] | a film [SEP]
    [capped] = encode_for(model, [long], 512)
    assert len(capped.ids) == 45  # all of it
    [roberta] = encode_for(
        model_of(tmp_path / "roberta", "roberta"), [LabelledText({"a": "film " * 99}, 0.0)], 512
    )
    assert len(roberta.ids) == 64  # 66 positions, of which two lie before the first token


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
