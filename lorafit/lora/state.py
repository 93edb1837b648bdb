"""Which parameters of an adapted model train, and the state dict that holds just these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lorafit.errors import RecipeError, did_you_mean
from lorafit.lora.layer import adapter_parameters, lora_layers

BIAS_RULES = ("none", "all", "lora_only")


def mark_only_lora_as_trainable(model: nn.Module, bias: str = "none") -> None:
    """Freeze all but the adapters and, by `bias`, none, all, or the adapted layers' bias vectors.

    RecipeError for another `bias`.
    """
    wanted = [*adapter_parameters(model).values(), *_biases(model, bias)]
    model.requires_grad_(False)
    for parameter in wanted:
        parameter.requires_grad_(True)


def lora_state_dict(model: nn.Module, bias: str = "none") -> dict[str, Tensor]:
    """The tensors that mark_only_lora_as_trainable marks for the same `bias`, by their state-dict names."""
    wanted = {id(p) for p in (*adapter_parameters(model).values(), *_biases(model, bias))}
    return {name: t.detach() for name, t in model.state_dict(keep_vars=True).items() if id(t) in wanted}


def factors(tensors: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """A and B of every adapted module in a `lora_state_dict`, by the module's name."""
    modules = [key.removesuffix(".lora_A") for key in tensors if key.endswith(".lora_A")]
    return {name: (tensors[f"{name}.lora_A"], tensors[f"{name}.lora_B"]) for name in modules}


def require_input_grad(embedding: nn.Module) -> RemovableHandle:
    """Let gradients flow from this module's output on, though it is frozen; `.remove()` the handle to undo.

    Reentrant gradient checkpointing yields no gradient at all unless an input of the block requires one.
    """
    return embedding.register_forward_hook(_mark_output)


def _mark_output(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    return output.requires_grad_(torch.is_grad_enabled())


def _biases(model: nn.Module, rule: str) -> Iterator[nn.Parameter]:
    if rule not in BIAS_RULES:
        raise RecipeError(
            f"bias {rule!r}: must be one of {', '.join(BIAS_RULES)}{did_you_mean(rule, BIAS_RULES)}"
        )
    if rule == "lora_only":
        for layer in lora_layers(model):
            yield from (p for name, p in layer.named_parameters() if name.rpartition(".")[2] == "bias")
    if rule == "all":
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                # By the parameter's own name: T5's relative_attention_bias is a module with a weight. Also
                # nn.LSTM's bias_ih_l0 and nn.MultiheadAttention's in_proj_bias are bias vectors.
                if parameter.ndim == 1 and "bias" in name.split("_"):
                    yield parameter
