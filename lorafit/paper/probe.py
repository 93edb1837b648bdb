"""How long a run would take here: a short measurement of a few layers of the base, extrapolated to all of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PretrainedConfig

from lorafit.lora import Draws, draw_from
from lorafit.models import Model, family_of, skeleton
from lorafit.models.placement import Placement
from lorafit.run.plan import Plan
from lorafit.tasks import PRESETS

_PROBED_EXAMPLES = 4
_FEW_LAYERS, _MORE_LAYERS = 2, 4


@dataclass(frozen=True)
class Speed:
    """Seconds for one token of training with a method on a base, forward and backward."""

    seconds_per_token: float

    def hours(self, plan: Plan) -> float:
        """Hours of training alone, without validation, decoding and scoring."""
        return self.seconds_per_token * num_tokens(plan) / 3600


def num_tokens(plan: Plan) -> float:
    """Tokens that a run reads in training."""
    train, length = plan.recipe.train, _example_length(plan)
    return float(plan.schedule.num_steps * (train.batch_tokens or (train.batch_size or 1) * length))


def measure(plan: Plan) -> Speed:
    """Time one training step with 2 and with 4 layers of the base, with random weights. Every layer adds the same, so
    the time of the whole base follows without loading it."""
    placement = Placement.of(plan.recipe.model.dtype, family_of(plan.config).width(plan.config))
    few, more = (_step_seconds(plan, layers, placement) for layers in (_FEW_LAYERS, _MORE_LAYERS))
    a_layer = max(more - few, 0.0) / (_MORE_LAYERS - _FEW_LAYERS)
    seconds = few + (_text_config(plan).num_hidden_layers - _FEW_LAYERS) * a_layer
    return Speed(seconds / (_PROBED_EXAMPLES * _example_length(plan)))


def _step_seconds(plan: Plan, num_layers: int, placement: Placement) -> float:
    """The faster of two steps, after one that warms up."""
    model = _slice(plan, num_layers)
    draws = Draws(seed=0)
    plan.method.attach(model, draws.init())
    placement.place(model.net)
    draw_from(model.net, draws)
    model.net.train()
    shape = _PROBED_EXAMPLES, _example_length(plan)
    ids = torch.randint(_text_config(plan).vocab_size, shape, device=placement.device)
    return min([_timed_step(model, ids, placement) for _ in range(3)][1:])


def _slice(plan: Plan, num_layers: int) -> Model:
    config = family_of(plan.config).with_layers(plan.config, num_layers)
    shape = skeleton(config, plan.task.output)
    shape.net.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*shape.net.parameters(), *shape.net.buffers()):
            if tensor.is_floating_point():
                tensor.normal_(std=0.02)
            else:
                tensor.zero_()
    return shape


def _timed_step(model: Model, ids: Tensor, placement: Placement) -> float:
    started = time.perf_counter()
    with placement.autocast():
        logits = model.net(input_ids=ids).logits
    logits.float().square().mean().backward()
    if placement.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _example_length(plan: Plan) -> int:
    return min(PRESETS[plan.task.name].size.example_length, plan.recipe.data.max_length)


def _text_config(plan: Plan) -> PretrainedConfig:
    return family_of(plan.config).text_config(plan.config)
