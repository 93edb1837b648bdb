"""The keys of PEFT's `adapter_config.json` that are understood, and at which values: a list of what is known, never of
what is not.

PEFT reads the same file (peft.LoraConfig) and passes over keys that it does not know.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import TypeGuard

from lorafit.lora import STARTS

Accepts = Callable[[object], bool]
"""Whether a key at this value is understood."""

_PLAIN_INITS = ("gaussian", "eva", "mica", "orthogonal")  # which leave the base as it is


def _anything(value: object) -> bool:
    del value
    return True


def _off(value: object) -> bool:
    return value is None or value is False


def _switch(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _none(value: object) -> bool:
    return value is None


def _empty(value: object) -> bool:
    return value is None or value == [] or value == {}


def _unused_section(value: object) -> bool:
    return value is None or isinstance(value, dict)


def _eva(value: object) -> bool:
    """The values with which PEFT can make its EvaConfig."""
    if not isinstance(value, dict):
        return value is None
    rho, tau = value.get("rho", 2.0), value.get("tau", 0.99)
    return _is_number(rho) and rho >= 1.0 and _is_number(tau) and 0.0 <= tau <= 1.0


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rank(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31


def _alpha(value: object) -> bool:
    """Positive, and not so far from 1 that float32 could not hold what comes of it."""
    return _is_number(value) and 1e-12 < value < 1e12


def _probability(value: object) -> bool:
    return _is_number(value) and 0 <= value < 1


def _is_pattern(value: object) -> bool:
    """A regular expression, which Python takes without a warning."""
    if not isinstance(value, str):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError, Warning):
            return False
    return True


def _is_part(value: object) -> bool:
    """A regular expression that may stand inside another one."""
    return isinstance(value, str) and _is_pattern(value) and _is_pattern(f"(?P<idx>)({value})")


def _is_list(value: object, accepts: Accepts) -> bool:
    return isinstance(value, list) and all(map(accepts, value))


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_name(value: object) -> bool:
    return isinstance(value, str)


def _patterns_to(accepts: Accepts) -> Accepts:
    return lambda value: (
        isinstance(value, dict) and all(map(_is_part, value)) and all(map(accepts, value.values()))
    )


# PEFT matches module names against the whole of a string, or against the ends of names in a list.
KEYS: Mapping[str, Accepts] = {
    # what it is
    "peft_type": lambda value: value == "LORA",
    "task_type": lambda value: value in (None, "CAUSAL_LM", "SEQ_CLS"),
    # where it comes from, and how it was trained
    "auto_mapping": _anything,
    "base_model_name_or_path": _anything,
    "inference_mode": _anything,
    "loftq_config": _anything,  # read by an init that is refused
    "megatron_core": _anything,  # read where there is a megatron_config
    "merge_weights": _anything,  # of the first versions
    "peft_version": _anything,
    "qalora_group_size": _anything,  # read by use_qalora
    "revision": _anything,
    "runtime_config": _anything,
    "corda_config": _unused_section,
    "eva_config": _eva,
    "lora_ga_config": _unused_section,
    "fan_in_fan_out": _anything,  # PEFT corrects it by the module's class
    # rank and scale
    "r": _rank,
    "rank_pattern": _patterns_to(_rank),
    "lora_alpha": _alpha,
    "alpha_pattern": _patterns_to(_alpha),
    "use_rslora": _switch,
    "use_dora": _switch,
    "lora_dropout": _probability,
    # which modules
    "target_modules": lambda value: _is_pattern(value) or _is_list(value, _is_name),
    "exclude_modules": lambda value: value is None or _is_pattern(value) or _is_list(value, _is_name),
    "layers_to_transform": lambda value: value is None or _is_index(value) or _is_list(value, _is_index),
    "layers_pattern": lambda value: value is None or _is_part(value) or _is_list(value, _is_part),
    # what trained beside the adapters
    "modules_to_save": lambda value: (
        value is None or _is_list(value, lambda each: _is_part(each) and each != "")
    ),
    "bias": lambda value: value in ("none", "all", "lora_only"),
    "ensure_weight_tying": _switch,
    "trainable_token_indices": lambda value: (
        value is None
        or _is_list(value, _is_index)
        or (isinstance(value, dict) and all(_is_list(ids, _is_index) for ids in value.values()))
    ),
    # what the base was made into
    "init_lora_weights": lambda value: (
        _switch(value) or (isinstance(value, str) and (value in _PLAIN_INITS or value in STARTS))
    ),
    # what is more, or other, than LoRA
    "alora_invocation_tokens": _empty,
    "arrow_config": _none,
    "enable_lora": _none,  # of the first versions
    "kasa_config": _none,
    "layer_replication": _empty,
    "lora_bias": _off,
    "megatron_config": _empty,
    "monteclora_config": _none,
    "target_parameters": _empty,
    "use_bdlora": _none,
    "use_qalora": _off,
    "velora_config": _none,
}

WHY_NOT: Mapping[str, str] = {
    "corda": "it was made out of data that the adapter does not hold, and PEFT itself cannot load it without",
    "lora_ga": "it was made out of data that the adapter does not hold",
    "loftq": "it replaces the base by a quantised one",
    "pissa_niter": "it was drawn at random out of the base, and cannot be drawn again",
}
