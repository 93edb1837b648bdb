"""What surrounds a search: order, batches, modes, limits, signals."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from lorafit import lora
from lorafit.decoding import BeamSearch, Greedy, generate, generate_all, session
from lorafit.errors import InterruptedRunError

PROMPTS = [
    [4, 9, 1, 22],
    [7],
    [13, 2, 2, 8, 28, 6, 19],
    [25, 1, 10],
    [0, 18],
    [11, 24, 5, 5, 16],
    [21, 3, 14, 27, 9, 12],
]
GREEDY = Greedy(max_new_tokens=8, eos_token_ids=(3, 5))


def test_every_prompt_once_and_in_order(gpt2: PreTrainedModel) -> None:
    pairs = list(generate(gpt2, PROMPTS, GREEDY, batch_size=4))
    assert sorted(index for index, _ in pairs) == list(range(len(PROMPTS)))
    assert generate_all(gpt2, PROMPTS, GREEDY) == [dict(pairs)[i] for i in range(len(PROMPTS))]
    assert generate_all(gpt2, [], GREEDY) == []


def test_prompts_that_are_done_leave_the_batch(gpt2: PreTrainedModel) -> None:
    rows: list[int] = []
    gpt2.get_submodule("transformer.wte").register_forward_hook(lambda _, args, __: rows.append(len(args[0])))
    generate_all(gpt2, PROMPTS, GREEDY)
    assert rows[0] == len(PROMPTS)
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] < len(PROMPTS)


def test_a_prompt_is_read_once_and_not_once_a_beam(gpt2: PreTrainedModel) -> None:
    shapes: list[torch.Size] = []
    gpt2.get_submodule("transformer.wte").register_forward_hook(
        lambda _, args, __: shapes.append(args[0].shape)
    )
    generate_all(gpt2, [[1, 2, 3, 4]] * 2, BeamSearch(3, max_new_tokens=3))
    assert shapes == [(2, 4), (2, 3), (2, 3)]


def test_the_model_is_left_as_it_was(gpt2: PreTrainedModel) -> None:
    gpt2.train()
    gpt2.get_submodule("transformer.h.0").eval()
    gpt2.get_submodule("transformer.h.1.attn").eval()
    modes = [module.training for module in gpt2.modules()]
    expected = generate_all(gpt2.eval(), PROMPTS, GREEDY)
    for module, training in zip(gpt2.modules(), modes, strict=True):
        module.training = training
    outputs = []
    for _, ids in generate(gpt2, PROMPTS, GREEDY, batch_size=2):
        assert [module.training for module in gpt2.modules()] == modes
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        outputs.append(ids)
    assert sorted(outputs) == sorted(expected)  # no dropout, for all that


def test_a_signal_stops_it_within_a_step(gpt2: PreTrainedModel) -> None:
    asked: list[int] = []
    gpt2.train()

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(InterruptedRunError):
        generate_all(gpt2, PROMPTS, BeamSearch(2, max_new_tokens=8), should_stop=should_stop)
    assert len(asked) == 3
    assert gpt2.training


def test_a_long_prompt_loses_its_beginning(gpt2: PreTrainedModel) -> None:
    prompt = [i % 29 for i in range(100)]  # the model has 64 positions
    assert generate_all(gpt2, [prompt], GREEDY) == generate_all(gpt2, [prompt[-56:]], GREEDY)
    assert generate_all(gpt2, [prompt[-56:]], GREEDY) != generate_all(gpt2, [prompt[-5:]], GREEDY)


def test_too_many_new_tokens_for_the_model_are_our_fault(gpt2: PreTrainedModel) -> None:
    with pytest.raises(ValueError, match="max_new_tokens"):
        generate_all(gpt2, PROMPTS, Greedy(max_new_tokens=64))


def test_an_empty_prompt_is_our_fault(gpt2: PreTrainedModel) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        generate_all(gpt2, [[]], GREEDY)


@pytest.mark.parametrize("share_rows", [True, False])
def test_lora_layers_decode_as_when_merged(
    gpt2: PreTrainedModel, share_rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not share_rows:
        monkeypatch.setattr(session, "beams_can_share_a_row", lambda _: False)
    search = BeamSearch(4, max_new_tokens=8, eos_token_ids=(3, 5))
    without = generate_all(gpt2, PROMPTS, search)
    sites = [lora.Site(name, (True, False, True)) for name in lora.find(gpt2, ["c_attn"])]
    lora.attach(gpt2, sites, r=2, alpha=4, dropout=0.5)
    for layer in lora.lora_layers(gpt2):
        layer.lora_B.data.normal_()
    gpt2.train()
    attached = generate_all(gpt2, PROMPTS, search)
    lora.detach(gpt2, merge=True)
    assert attached == generate_all(gpt2, PROMPTS, search)
    assert attached != without
