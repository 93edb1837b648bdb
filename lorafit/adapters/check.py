"""Does the restored model answer as the trained one did? If not: which of base, scale or adapter is at fault?"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lorafit import lora
from lorafit.adapters.fingerprint import Fingerprint, answers
from lorafit.adapters.folder import Adapter
from lorafit.errors import AdapterError, DamagedError, NotAppliedError, WrongBaseError, WrongScaleError
from lorafit.models import Model

_SEARCH_STEPS = 40
_DOUBLINGS = 8  # alpha is sought from 1/256 to 256 times the one in adapter.json
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Agreement:
    """The largest difference from the recorded answers, what is allowed, and how much the adapter changes them."""

    difference: float
    tolerance: float
    effect: float | None  # None where the base alone has no such answers


def check_answers(adapter: Adapter, model: Model) -> Agreement | None:
    """Compute the fingerprint's answers again with the restored `model`. None for an adapter without fingerprint.

    Raises the AdapterError that names the fault where they differ.
    """
    recorded = adapter.fingerprint
    if recorded is None:
        return None
    if recorded.input_ids.max() >= model.vocab_size:
        raise WrongBaseError(f"{adapter.folder}: wrong base: it has fewer tokens than the one trained on")
    now = _answers(model, recorded)
    difference = _distance(now, recorded.trained)
    if not difference <= recorded.tolerance:
        raise _fault(adapter, model, recorded, now)
    effect = _distance(recorded.trained, recorded.base) if recorded.base.numel() else None
    return Agreement(difference, recorded.tolerance, effect)


def _fault(adapter: Adapter, model: Model, recorded: Fingerprint, now: Tensor) -> AdapterError:
    """The error that explains answers other than the recorded ones."""
    allowed, where = recorded.tolerance, adapter.folder
    layers = list(lora.lora_layers(model.net))
    of_base = {name for name in model.trained() if not model.is_head(name)} - lora.adapter_parameters(
        model.net
    ).keys()
    if layers and not of_base:  # else there is no base without what was trained of it
        with lora.scaled(model.net, 0.0):
            without = _answers(model, recorded)
        if recorded.base.numel() and _distance(without, recorded.base) > allowed:
            return WrongBaseError(
                f"{where}: wrong base: without the adapter it answers otherwise than the base trained on "
                f"(by {_distance(without, recorded.base):.3g}, allowed {allowed:.3g})"
            )
        if _distance(now, without) <= allowed:
            return NotAppliedError(
                f"{where}: adapter not applied: with it the model answers as without it, but the trained one did not"
            )
        if factor := _right_factor(model, recorded):
            scale = layers[0].scaling
            return WrongScaleError(
                f"{where}: wrong alpha or r: alpha / r is {scale:g}, but the recorded answers fit {scale * factor:.4g}"
            )
    return DamagedError(
        f"{where}: adapter.safetensors and fingerprint.safetensors are not of the same training: the answers differ "
        f"by {_distance(now, recorded.trained):.3g}, allowed {allowed:.3g}, and no other alpha explains it"
    )


def _right_factor(model: Model, recorded: Fingerprint) -> float | None:
    """The factor on alpha under which the recorded answers come out; None if there is none.

    The best power of two, then a golden-section search around it.
    """

    def distance(exponent: float) -> float:
        with lora.scaled(model.net, 2.0**exponent):
            return _distance(_answers(model, recorded), recorded.trained)

    best = min(range(-_DOUBLINGS, _DOUBLINGS + 1), key=distance)
    low, high = best - 1.0, best + 1.0
    for _ in range(_SEARCH_STEPS):
        third = (high - low) * _GOLDEN
        left, right = distance(high - third), distance(low + third)
        if min(left, right) <= recorded.tolerance / 10:
            break
        if left < right:
            high = low + third
        else:
            low = high - third
    middle = (low + high) / 2
    exponent = min((high - third, low + third, middle), key=distance)
    return 2.0**exponent if distance(exponent) <= recorded.tolerance else None


def _answers(model: Model, recorded: Fingerprint) -> Tensor:
    outputs = answers(model, recorded.inputs())
    return outputs[:, recorded.columns.clamp(max=outputs.shape[1] - 1)]


def _distance(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()
