"""Greedy decoding and sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from lorafit.decoding import Greedy, Sample, generate_all

MakeNet = Callable[..., PreTrainedModel]

PROMPTS = [
    [4, 9, 1, 22],
    [7],
    [13, 2, 2, 8, 28, 6, 19],
    [25, 1, 10],
    [0, 18],
    [11, 24, 5, 5, 16],
    [21, 3, 14, 27, 9, 12],
]
ENDS = tuple(range(0, 29, 4))


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_greedy_is_hugging_faces_greedy(model_type: str, make_net: MakeNet) -> None:
    net: Any = make_net(model_type)
    outputs = generate_all(net, PROMPTS, Greedy(max_new_tokens=20, eos_token_ids=ENDS), batch_size=3)
    for prompt, ids in zip(PROMPTS, outputs, strict=True):
        ours_and_prompt = net.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=20,
            do_sample=False,
            eos_token_id=list(ENDS),
            pad_token_id=0,
        )
        assert ids == ours_and_prompt[0, len(prompt) :].tolist()
    assert len({len(ids) for ids in outputs}) > 1


def test_a_tiny_nucleus_or_a_low_temperature_is_greedy(gpt2: PreTrainedModel) -> None:
    greedy = generate_all(gpt2, PROMPTS, Greedy(max_new_tokens=15, eos_token_ids=(3,)))
    for sample in (
        Sample(top_p=1e-9, max_new_tokens=15, eos_token_ids=(3,)),
        Sample(temperature=1e-4, max_new_tokens=15, eos_token_ids=(3,)),
    ):
        assert generate_all(gpt2, PROMPTS, sample) == greedy


def test_a_sample_depends_on_seed_and_prompt_alone(gpt2: PreTrainedModel) -> None:
    sample = Sample(max_new_tokens=15, eos_token_ids=(3,), seed=1)
    outputs = generate_all(gpt2, PROMPTS, sample, batch_size=16)
    assert generate_all(gpt2, PROMPTS, sample, batch_size=2) == outputs
    other = Sample(max_new_tokens=15, eos_token_ids=(3,), seed=2)
    assert generate_all(gpt2, PROMPTS, other, batch_size=16) != outputs


def test_the_same_prompt_twice_is_sampled_twice(gpt2: PreTrainedModel) -> None:
    first, second = generate_all(gpt2, [[1, 2], [1, 2]], Sample(max_new_tokens=20, eos_token_ids=()))
    assert first != second


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_evenly_spread_draws_give_the_distribution(temperature: float) -> None:
    logits = torch.tensor([2.0, -1.0, 0.5, 0.0, 1.0])
    draws = (torch.arange(20000) + 0.5) / 20000
    tokens = Sample(temperature=temperature).choose(logits.expand(20000, -1), draws)
    frequencies = tokens.bincount(minlength=5) / 20000
    torch.testing.assert_close(frequencies, (logits / temperature).softmax(-1), atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(0.399, [0.0, 1.0, 0.0, 0.0]), (0.401, [0, 4 / 7, 0, 3 / 7]), (0.699, [0, 4 / 7, 0, 3 / 7])],
)
def test_the_nucleus_is_the_smallest_set_that_reaches_top_p(top_p: float, expected: list[float]) -> None:
    probabilities = torch.tensor([0.1, 0.4, 0.2, 0.3])
    draws = (torch.arange(7000) + 0.5) / 7000
    tokens = Sample(top_p=top_p).choose(probabilities.log().expand(7000, -1), draws)
    frequencies = tokens.bincount(minlength=4) / 7000
    torch.testing.assert_close(frequencies, torch.tensor(expected), atol=5e-4, rtol=0)
