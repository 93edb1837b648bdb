"""Beam search against its rules, written out plainly: no cache, no batch, no way out early."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from lorafit.decoding import BeamSearch, Greedy, generate_all, session
from lorafit.errors import DivergedError
from tests.decoding.conftest import tiny_net

MakeNet = Callable[..., PreTrainedModel]
MakePrompts = Callable[..., list[list[int]]]


def banned(tokens: list[int], size: int) -> set[int]:
    """The tokens that would complete an n-gram of `tokens` a second time."""
    if size == 0 or len(tokens) < size:
        return set()
    ngrams = [tokens[i : i + size] for i in range(len(tokens) - size + 1)]
    return {ngram[-1] for ngram in ngrams if ngram[:-1] == tokens[len(tokens) - size + 1 :]}


@cache
@torch.no_grad()
def next_logits(net: PreTrainedModel, *tokens: int) -> Tensor:
    """What the plain model says of one text. The searches of a test, and of its cases, ask for many texts again."""
    logits: Tensor = net(torch.tensor([tokens])).logits[0, -1]
    return logits.double()


def by_the_rules(net: PreTrainedModel, prompt: list[int], search: BeamSearch) -> list[int]:
    """The paper's beam search, plainly."""
    beams: list[tuple[float, list[int]]] = [(0.0, [])]
    best: tuple[float, list[int]] = (-float("inf"), [])
    for step in range(1, search.max_new_tokens + 1):
        candidates = []
        for total, tokens in beams:
            logits = next_logits(net, *prompt, *tokens).clone()
            logits[list(banned(tokens, search.no_repeat_ngram_size))] = -float("inf")
            log_probs = logits.log_softmax(-1).tolist()
            candidates += [(total + log_p, [*tokens, token]) for token, log_p in enumerate(log_probs)]
        beams = sorted(candidates, key=lambda c: -c[0])[: search.num_beams]
        closing = [b for b in beams if b[1][-1] in search.eos_token_ids]
        beams = [b for b in beams if b not in closing]
        if step == search.max_new_tokens:
            closing += beams
        for total, tokens in closing:
            score = total / step**search.length_penalty
            if score > best[0]:
                best = (score, tokens)
    return best[1]


@pytest.fixture(scope="module")
def unchanged() -> PreTrainedModel:
    """A tiny GPT-2 for the tests that leave it as it is."""
    return tiny_net("gpt2")


OPTIONS = list(itertools.product([1, 2, 5], [-0.5, 0.0, 0.8, 3.0], [0, 1, 2, 3]))


@pytest.mark.parametrize(("num_beams", "length_penalty", "ngram"), OPTIONS)
def test_gives_what_the_rules_give(
    unchanged: PreTrainedModel, num_beams: int, length_penalty: float, ngram: int, make_prompts: MakePrompts
) -> None:
    search = BeamSearch(num_beams, length_penalty, ngram, max_new_tokens=7, eos_token_ids=(3, 5, 11, 17))
    prompts = make_prompts(seed=num_beams)
    expected = [by_the_rules(unchanged, prompt, search) for prompt in prompts]
    for batch_size in (1, 3, 16):
        assert generate_all(unchanged, prompts, search, batch_size=batch_size) == expected


def test_the_options_above_end_early_and_late(gpt2: PreTrainedModel, make_prompts: MakePrompts) -> None:
    search = BeamSearch(5, 0.8, 2, max_new_tokens=7, eos_token_ids=(3, 5, 11, 17))
    lengths = {len(ids) for ids in generate_all(gpt2, make_prompts(seed=5, count=20), search)}
    assert min(lengths) < 7 == max(lengths)


@pytest.mark.parametrize("length_penalty", [-0.1, -0.5, -1.0])
def test_a_later_end_may_win_under_a_negative_penalty(
    unchanged: PreTrainedModel, length_penalty: float, make_prompts: MakePrompts
) -> None:
    search = BeamSearch(3, length_penalty, 0, max_new_tokens=6, eos_token_ids=tuple(range(0, 29, 2)))
    prompts = make_prompts(seed=11, count=60)
    expected = [by_the_rules(unchanged, prompt, search) for prompt in prompts]
    assert generate_all(unchanged, prompts, search) == expected
    assert len({len(ids) for ids in expected}) > 1


def test_llama_with_grouped_keys_and_rotary_positions(
    monkeypatch: pytest.MonkeyPatch, make_net: MakeNet, make_prompts: MakePrompts
) -> None:
    net = make_net("llama")
    search = BeamSearch(4, 0.8, 2, max_new_tokens=6, eos_token_ids=(3, 5))
    prompts = make_prompts(seed=1)
    expected = [by_the_rules(net, prompt, search) for prompt in prompts]
    assert generate_all(net, prompts, search, batch_size=3) == expected
    monkeypatch.setattr(session, "beams_can_share_a_row", lambda _: False)
    assert generate_all(net, prompts, search, batch_size=3) == expected


def test_more_steps_than_one_filling_of_the_cache(
    unchanged: PreTrainedModel, make_prompts: MakePrompts
) -> None:
    search = BeamSearch(10, 0.8, 3, max_new_tokens=40, eos_token_ids=())
    prompts = make_prompts(seed=2, count=2)
    assert generate_all(unchanged, prompts, search) == [
        by_the_rules(unchanged, prompt, search) for prompt in prompts
    ]


def test_one_beam_is_greedy(gpt2: PreTrainedModel, make_prompts: MakePrompts) -> None:
    beam = BeamSearch(1, 0.8, 2, max_new_tokens=12, eos_token_ids=(3, 5))
    greedy = Greedy(2, max_new_tokens=12, eos_token_ids=(3, 5))
    prompts = make_prompts(seed=3, count=12)
    assert generate_all(gpt2, prompts, beam) == generate_all(gpt2, prompts, greedy)


def test_work_ends_when_nothing_can_win(gpt2: PreTrainedModel, make_prompts: MakePrompts) -> None:
    """With a strong penalty on length (no division) the first end token soon beats whatever could follow."""
    search = BeamSearch(3, 0.0, 0, max_new_tokens=50, eos_token_ids=tuple(range(0, 29, 2)))
    steps = []
    gpt2.register_forward_hook(lambda *_: steps.append(1))
    generate_all(gpt2, make_prompts(seed=4), search)
    assert len(steps) < 25


def test_half_precision_scores_in_single(gpt2: PreTrainedModel, make_prompts: MakePrompts) -> None:
    search = BeamSearch(4, 0.8, 3, max_new_tokens=12, eos_token_ids=(3,))
    outputs = generate_all(gpt2.bfloat16(), make_prompts(seed=6), search)
    assert all(ids and (len(ids) == 12 or ids[-1] == 3) for ids in outputs)


def test_a_model_of_nan_is_an_error(gpt2: PreTrainedModel) -> None:
    gpt2.get_parameter("transformer.wte.weight").data.fill_(torch.nan)
    with pytest.raises(DivergedError, match="NaN"):
        generate_all(gpt2, [[1, 2]], BeamSearch(2, max_new_tokens=3))
