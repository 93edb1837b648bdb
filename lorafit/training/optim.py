"""AdamW as the paper's code has it, and which parameters decay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lorafit.errors import RecipeError
from lorafit.imports import import_bitsandbytes
from lorafit.lora import adapted_layers

DecayExempt = Literal["none", "bias_and_norm"]


class AdamW(torch.optim.Optimizer):
    """m, v <- moments;  p -= lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps);  then  p -= lr decay p.

    Unlike torch's AdamW, eps is added before the bias correction and the decay acts on the updated parameter
    (microsoft/LoRA examples/NLG/src/optimizer.py; transformers' former AdamW does the same).
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        assert closure is None, "closures are not supported"
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._update(params, group)

    def _update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p] = {"step": 0, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            self.state[p]["step"] += 1
        beta1, beta2 = group["betas"]
        step = self.state[params[0]]["step"]
        grads: list[Tensor] = [p.grad for p in params if p.grad is not None]
        means = [self.state[p]["exp_avg"] for p in params]
        squares = [self.state[p]["exp_avg_sq"] for p in params]
        torch._foreach_mul_(means, beta1)
        torch._foreach_add_(means, grads, alpha=1.0 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, value=1.0 - beta2)
        denominators = torch._foreach_sqrt(squares)
        torch._foreach_add_(denominators, group["eps"])
        step_size = group["lr"] * (1.0 - beta2**step) ** 0.5 / (1.0 - beta1**step)
        torch._foreach_addcdiv_(params, means, denominators, value=-step_size)
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1.0 - group["lr"] * group["weight_decay"])


def make_optimizer(
    kind: Literal["adamw", "adamw_8bit"],
    groups: list[dict[str, Any]],
    lr: float,
    betas: tuple[float, float],
    eps: float,
) -> torch.optim.Optimizer:
    """The optimizer of that name. Raises LorafitError where the package that it needs is not installed."""
    if kind == "adamw":
        return AdamW(groups, lr, betas, eps)
    optim: Any = import_bitsandbytes("optim", "train.optimizer")
    made: torch.optim.Optimizer = optim.AdamW8bit(groups, lr, betas, eps, weight_decay=0.0)
    return made


def check_lora_plus(net: nn.Module) -> None:
    """Raises RecipeError for a net without LoRA layers."""
    if not adapted_layers(net):
        raise RecipeError("[train] lora_plus_ratio: the method has no LoRA layers, whose B it is for")


def parameter_groups(
    trained: Mapping[str, nn.Parameter],
    net: nn.Module,
    weight_decay: float,
    exempt: DecayExempt,
    lora_plus_ratio: float | None = None,
) -> list[dict[str, Any]]:
    """Two groups, decayed and not. "bias_and_norm" spares biases and LayerNorms, as the paper's GLUE trainer did.

    With `lora_plus_ratio`, B of every LoRA layer is in a group of its own, whose learning rate is `rate_factor` times
    the others' (Hayou et al. 2024).
    """
    spared: set[str] = set()
    if exempt == "bias_and_norm":
        norms = {name for name, module in net.named_modules() if isinstance(module, nn.LayerNorm)}
        spared = {name for name in trained if name.endswith("bias") or name.rpartition(".")[0] in norms}
    faster = {f"{name}.lora_B" for name in adapted_layers(net)} if lora_plus_ratio is not None else set()
    usual = [p for name, p in trained.items() if name not in spared | faster]
    groups: list[dict[str, Any]] = [
        {"params": usual, "weight_decay": weight_decay},
        {"params": [p for name, p in trained.items() if name in spared], "weight_decay": 0.0},
    ]
    if faster:
        of_b = [p for name, p in trained.items() if name in faster]
        groups.append({"params": of_b, "weight_decay": weight_decay, "rate_factor": lora_plus_ratio})
    return [group for group in groups if group["params"]]
