"""Other ways to decode than in training: those of transformers, and only such as can be meant."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

from lorafit.decoding import BeamSearch, Greedy, Sample, Sampling, generate_all
from lorafit.errors import DropArgument, RecipeError
from lorafit.recipe import DecodeSection

BEAM = BeamSearch(num_beams=3, max_new_tokens=9, eos_token_ids=(3,))
NUM_DRAWS = 20_000


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_distribution_is_that_of_transformers(temperature: float, top_p: float) -> None:
    generator = torch.Generator().manual_seed(int(100 * temperature))
    logits = 3 * torch.randn(1, 40, generator=generator)
    ids: Any = torch.zeros(1, 1, dtype=torch.long)
    theirs = TemperatureLogitsWarper(temperature)(ids, logits)
    theirs = (TopPLogitsWarper(top_p)(ids, theirs) if top_p < 1 else theirs).softmax(-1)[0]
    draws = (torch.arange(NUM_DRAWS) + 0.5) / NUM_DRAWS
    tokens = Sample(temperature=temperature, top_p=top_p).choose(logits.expand(NUM_DRAWS, -1), draws)
    ours = tokens.bincount(minlength=40) / NUM_DRAWS
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    likely = theirs > 2 / NUM_DRAWS  # what is rarer may have no draw
    assert (ours[theirs == 0] == 0).all()
    assert (ours[likely] > 0).all()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_rows_are_drawn_by_their_numbers(gpt2: PreTrainedModel, batch_size: int) -> None:
    prompts = [[4, 9, 1], [7], [13, 2, 2, 8], [25, 1, 10], [0, 18]]
    sampling = Sampling(temperature=1.5, seed=4)
    whole = generate_all(gpt2, prompts, sampling.of(BEAM))
    rest = generate_all(gpt2, prompts[2:], sampling.of(BEAM, first=2), batch_size=batch_size)
    assert rest == whole[2:]
    assert generate_all(gpt2, prompts[2:], sampling.of(BEAM)) != whole[2:]


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({}, BeamSearch),
        ({"num_beams": 4}, BeamSearch),
        ({"max_new_tokens": 5}, BeamSearch),
        ({"strategy": "greedy"}, Greedy),
        ({"temperature": 0.7}, Sample),
        ({"top_p": 0.9, "seed": 3}, Sample),
        ({"strategy": "sample"}, Sample),
    ],
    ids=str,
)
def test_what_is_given_says_which_strategy_is_meant(keys: dict[str, Any], kind: type) -> None:
    sampling = Sampling(**keys)
    assert type(sampling.of(BEAM)) is kind
    assert sampling.given() == keys


def test_settings_that_are_not_given_are_those_of_training() -> None:
    trained = DecodeSection(num_beams=7, length_penalty=0.5, max_new_tokens=33)
    assert Sampling().section(trained) == trained
    chosen = Sampling(num_beams=2, max_new_tokens=5).section(trained)
    assert chosen == DecodeSection(num_beams=2, length_penalty=0.5, max_new_tokens=5)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"strategy": "greedy", "num_beams": 2}, "num_beams"),
        ({"strategy": "greedy", "temperature": 0.5}, "temperature"),
        ({"strategy": "beam", "top_p": 0.5}, "top_p"),
        ({"temperature": 0.5, "num_beams": 2}, "num_beams"),
        ({"seed": 1}, "seed"),
        ({"num_beams": 2, "seed": 1}, "seed"),
    ],
    ids=str,
)
def test_what_contradicts_is_refused_by_name(keys: dict[str, Any], name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Sampling(**keys)
    assert caught.value.where == name
    assert caught.value.remedies == (DropArgument(name),)


@pytest.mark.parametrize("keys", [{"num_beams": 0}, {"max_new_tokens": 0}, {"temperature": 0}, {"top_p": 0}])
def test_nothing_is_a_number_that_cannot_be_meant(keys: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="choose another"):
        Sampling(**keys)
