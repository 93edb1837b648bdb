"""Every method on a decoder: packed training, and decoding in every way, are those of the net's own forward pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lorafit.data.batches import pack
from lorafit.data.encoding.encode import EncodedPair
from lorafit.decoding import BeamSearch, Greedy, generate_all, session
from lorafit.methods import AdapterTuning, BitFit, Full, LoRA, Method, Prefix, Top2
from lorafit.models import Model, take_packed_rows
from lorafit.models.placement import Placement
from lorafit.training import language_model_loss_sums
from tests.support.tiny_models import tiny_model

METHODS_OF_TEXT: list[Method] = [
    LoRA(r=2, alpha=4.0),
    Full(),
    Top2(num_layers=1),
    BitFit(),
    AdapterTuning(size=4),
    AdapterTuning(variant="lin", size=4),
    Prefix(length=3, hidden=8),
    Prefix(length=3, hidden=0),
    Prefix(variant="embedding", length=3, hidden=8),
]
CASES = [("gpt2", method) for method in METHODS_OF_TEXT] + [
    ("llama", method) for method in METHODS_OF_TEXT if isinstance(method, LoRA | Prefix)
]
over_all = pytest.mark.parametrize(("model_type", "method"), CASES, ids=str)

EXAMPLES = [
    EncodedPair((4, 9, 1, 0), (7, 22, 0)),
    EncodedPair((13, 0), (2, 8, 28, 6, 0)),
    EncodedPair((1, 2, 3, 4, 5, 0), (19, 0)),
]
PROMPTS = [[4, 9, 1, 22], [7], [13, 2, 2, 8, 28, 6, 19], [25, 1, 10], [18, 5]]
NUM_NEW = 8


def trained(model_type: str, method: Method) -> Model:
    model = tiny_model(model_type)
    method.attach(model, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.trained().values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def gradients(model: Model, loss: Tensor) -> dict[str, Tensor]:
    parameters = model.trained()
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))


@over_all
def test_the_packed_loss_and_its_gradient_are_those_of_one_text_at_a_time(
    model_type: str, method: Method
) -> None:
    model = trained(model_type, method)
    one_by_one = torch.zeros(())
    for example in EXAMPLES:
        ids, targets = torch.tensor([example.inputs(64)]), torch.tensor(example.targets(64))
        logits = model.net(ids).logits[0, torch.tensor(example.target_mask(64))]
        one_by_one = one_by_one + F.cross_entropy(logits, targets, reduction="sum")
    expected = gradients(model, one_by_one)

    take_packed_rows(model.net)
    packed = language_model_loss_sums(model.net, pack(EXAMPLES, 64), [0.0])[0]
    torch.testing.assert_close(packed, one_by_one, atol=1e-4, rtol=1e-5)
    for name, gradient in gradients(model, packed).items():
        torch.testing.assert_close(gradient, expected[name], atol=2e-3, rtol=1e-3, msg=name)


@over_all
def test_the_base_may_be_in_bfloat16(model_type: str, method: Method) -> None:
    """Frozen weights in bfloat16, products in bfloat16, what trains in float32: near the loss in float32."""
    model = trained(model_type, method)
    take_packed_rows(model.net)
    batch = pack(EXAMPLES, 64)
    expected = language_model_loss_sums(model.net, batch, [0.0])[0]
    placement = Placement(torch.device("cpu"), torch.bfloat16)
    placement.place(model.net)
    with placement.autocast():
        loss = language_model_loss_sums(model.net, batch, [0.0])[0]
        greedy = generate_all(model.net, PROMPTS[:2], Greedy(max_new_tokens=2, eos_token_ids=()))
    assert all(gradient.dtype == torch.float32 for gradient in gradients(model, loss).values())
    torch.testing.assert_close(loss, expected, atol=0.0, rtol=0.1)
    assert [len(ids) for ids in greedy] == [2, 2]


def greedy_by_hand(model: Model, prompt: list[int]) -> list[int]:
    """The whole text through the plain forward pass for every token."""
    ids = list(prompt)
    for _ in range(NUM_NEW):
        with torch.no_grad():
            ids.append(int(model.net(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@over_all
@pytest.mark.parametrize("share_rows", [True, False])
def test_decoding_is_the_plain_forward_pass(
    model_type: str, method: Method, share_rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not share_rows:
        monkeypatch.setattr(session, "beams_can_share_a_row", lambda _: False)
    model = trained(model_type, method)
    expected = [greedy_by_hand(model, prompt) for prompt in PROMPTS]
    greedy = Greedy(max_new_tokens=NUM_NEW, eos_token_ids=())
    for batch_size in (1, 2, 5):
        assert generate_all(model.net, PROMPTS, greedy, batch_size=batch_size) == expected


@over_all
def test_beams_are_the_same_in_training_and_afterwards_and_in_any_batch(
    model_type: str, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = BeamSearch(4, max_new_tokens=NUM_NEW, eos_token_ids=(3, 5))
    model = trained(model_type, method)
    model.net.train()
    in_training = generate_all(model.net, PROMPTS, search)
    assert model.net.training
    method.finish(model)
    model.net.eval()
    assert generate_all(model.net, PROMPTS, search, batch_size=2) == in_training
    monkeypatch.setattr(session, "beams_can_share_a_row", lambda _: False)
    assert generate_all(model.net, PROMPTS, search) == in_training
