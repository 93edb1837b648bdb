"""Classes that count more: the loss is torch's weighted mean, however a step is cut up."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lorafit.data import LabelRow
from lorafit.methods import LoRA
from lorafit.models import Model, load_base, load_config
from lorafit.objectives import BaseFacts, Settings, objective_for
from lorafit.objectives.classification import Classification, label_outputs
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.tasks import make_task
from lorafit.training import AdamW, Member, Position, ProcessGroup, Schedule, Stepped, Steps, fit
from lorafit.training.loss import label_loss_sum
from tests.support.tiny_encoders import save_encoder, sentences

WEIGHTS = (0.25, 4.0)
ROWS = [LabelRow({"text": text}, float(label)) for text, label in sentences(7)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_encoder(tmp_path_factory.mktemp("base"), "roberta"))


def made(base: str) -> tuple[Model, Classification]:
    config = load_config(base, num_labels=2, dropout=0.0, head_dropout=0.0)
    model = load_base(config, base, None, "label")
    LoRA(r=2, alpha=4).attach(model, torch.Generator().manual_seed(1))
    task = make_task("classification", labels=("bad", "good"), class_weights=WEIGHTS)
    objective = objective_for(
        task, BaseFacts(config, model.family), Settings(DataSection(), DecodeSection(), EvalSection())
    )
    assert isinstance(objective, Classification)
    objective.prepare(model)
    return model, objective


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_sum_over_the_weights_is_torch_s_mean(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, labels = torch.randn(6, 3, generator=generator), torch.tensor([0.0, 1, 2, 1, 1, 0])
    weights = torch.tensor([0.5, 2.0, 1.25])
    ours = label_loss_sum(outputs, labels, smoothing, weights) / weights[labels.long()].sum()
    expected = F.cross_entropy(outputs, labels.long(), weights, label_smoothing=smoothing)
    torch.testing.assert_close(ours, expected)


def test_weights_of_several_classes_are_torch_s_pos_weight() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, labels = torch.randn(5, 3, generator=generator), torch.eye(5, 3)
    weights = torch.tensor([0.5, 2.0, 1.25])
    ours = label_loss_sum(outputs, labels, 0.0, weights) / 5
    torch.testing.assert_close(ours, torch.nn.BCEWithLogitsLoss(pos_weight=weights)(outputs, labels))


@pytest.mark.parametrize("micro_batch_size", [None, 1, 3])
def test_a_step_has_the_weighted_mean_s_loss_and_gradient_in_micro_batches_of_any_size(
    micro_batch_size: int | None, base: str
) -> None:
    model, objective = made(base)
    examples = objective.encoder(model.require_tokenizer()).encode(ROWS).examples
    batch = objective.collate([examples])
    labels, weights = batch.labels.long(), torch.tensor(WEIGHTS)
    expected = F.cross_entropy(label_outputs(model, batch), labels, weights)
    gradients = torch.autograd.grad(expected, list(model.trained().values()), allow_unused=True)

    found: dict[str, Tensor] = {}

    class Recorded(AdamW):
        def step(self, closure: None = None) -> None:  # type: ignore[override]
            found.update({n: p.grad.clone() for n, p in model.trained().items() if p.grad is not None})
            super().step(closure)

    trained = model.trained()
    member = Member(
        trained,
        Recorded(trained.values(), lr=0.1),
        Schedule(1, 0, 0.1),
        Steps(lambda _: [range(7)], examples, 1),
        Position(micro_batch_size=micro_batch_size),
    )
    [stepped] = [e for e in fit(model, [member], objective, ProcessGroup()) if isinstance(e, Stepped)]
    assert stepped.loss == pytest.approx(expected.item(), rel=1e-5)
    assert stepped.num_targets == 7
    for name, gradient in zip(trained, gradients, strict=True):
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_the_validation_loss_is_weighted_as_the_training_loss_is(base: str) -> None:
    model, objective = made(base)
    examples = objective.encoder(model.require_tokenizer()).encode(ROWS).examples
    batch = objective.collate([examples])
    with torch.no_grad():
        expected = F.cross_entropy(label_outputs(model, batch), batch.labels.long(), torch.tensor(WEIGHTS))
    task = objective.task.model_copy(update={"metrics": ("accuracy",)})
    validated = replace(objective, task=task).validate(model, ROWS, examples, ProcessGroup())
    assert validated.loss == pytest.approx(expected.item(), rel=1e-5)


def test_weights_of_one_are_no_weights(base: str) -> None:
    model, objective = made(base)
    examples = objective.encoder(model.require_tokenizer()).encode(ROWS).examples
    losses = []
    for weights in (None, (1.0, 1.0)):
        task = objective.task.model_copy(update={"class_weights": weights})
        changed = replace(objective, task=task)
        batch = changed.collate([examples])
        losses.append(changed.loss_sums(model, batch, [0.0]).item() / batch.target_weights[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
