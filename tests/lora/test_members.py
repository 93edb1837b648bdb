"""Whatever a member of a family trains is its own, and the base stays as it was."""

from __future__ import annotations

import pytest
import torch

from lorafit.lora import Draws, Members
from lorafit.methods import LoRA
from lorafit.models.added_rows import add_rows
from tests.support.tiny_models import VOCAB_SIZE, tiny_model


@pytest.mark.parametrize("whole", [None, ("*.bias",), ("ln_f", "wte"), ("lm_head", "*ln_1.weight")])
def test_members_share_nothing_that_trains(whole: tuple[str, ...] | None) -> None:
    model = tiny_model("gpt2")
    model.net.config.lorafit_added_tokens = {"first": VOCAB_SIZE, "tokens": ["<a>", "<b>"]}
    add_rows(model.net)
    before = dict(model.net.named_parameters())
    family, alone = Members(model.net, model.net.base_model), list[set[str]]()
    for seed, also in enumerate((None, whole, None)):
        method = LoRA(r=2, also_train=also, targets=("query", "up"))
        alone.append(set(method.attach(model, torch.Generator().manual_seed(0))))
        family.add(Draws(seed))
    trained: set[torch.nn.Parameter] = set()
    for number, names in enumerate(alone):
        with family.alone(number):
            own = model.trained()
            assert own.keys() == names  # tied rows of added tokens are one tensor
            assert not trained & set(own.values())
            trained |= set(own.values())
    now = dict(model.net.named_parameters())
    assert now.keys() == before.keys()
    assert all(now[name] is parameter and not parameter.requires_grad for name, parameter in before.items())
