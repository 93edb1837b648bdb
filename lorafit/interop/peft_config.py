"""What is understood of PEFT's `adapter_config.json`: every key, and at which values. All else is refused by name.

PEFT reads the same file (peft.LoraConfig) and passes over keys that it does not know.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from lorafit.errors import AdapterError, DamagedError, NotFoundError
from lorafit.files import JsonObject

CONFIG_FILE = "adapter_config.json"
PREFIX = "base_model.model."  # of every tensor's and every module's name

Accepts = Callable[[object], bool]
"""Whether a key at this value is understood."""

_PLAIN_INITS = ("gaussian", "eva", "mica", "orthogonal")  # which leave the base as it is
RESIDUAL_INITS = ("pissa", "olora")
"""Inits that take the start of the adapter out of the base's weights, and nothing else is needed to do it again."""


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
    # what the base was made into
    "init_lora_weights": lambda value: (
        _switch(value) or (isinstance(value, str) and (value in _PLAIN_INITS or value in RESIDUAL_INITS))
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
    "trainable_token_indices": _none,
    "use_bdlora": _none,
    "use_dora": _off,
    "use_qalora": _off,
    "velora_config": _none,
}

_WHY: Mapping[str, str] = {
    "corda": "it was made out of data that the adapter does not hold, and PEFT itself cannot load it without",
    "lora_ga": "it was made out of data that the adapter does not hold",
    "loftq": "it replaces the base by a quantised one",
    "pissa_niter": "it was drawn at random out of the base, and cannot be drawn again",
}


@dataclass(frozen=True)
class PeftConfig:
    """What the file says, with PEFT's defaults for what it does not say."""

    path: Path
    document: JsonObject

    @staticmethod
    def read(path: Path) -> PeftConfig:
        """Raises NotFoundError where there is none, DamagedError for what is no configuration, AdapterError by name for
        every key that is not understood at its value."""
        if not path.is_file():
            raise NotFoundError(f"{path.parent}: no {path.name} there, so it is not a PEFT adapter")
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DamagedError(f"{path}: not a LoRA configuration of PEFT: {error}") from None
        if not isinstance(document, dict):
            raise DamagedError(f"{path}: not a LoRA configuration of PEFT: no JSON object")
        config = PeftConfig(path, document)
        config._check()
        return config

    def _check(self) -> None:
        for key, value in self.document.items():
            accepts = KEYS.get(key)
            if accepts is None:
                raise self.refusal(key, "this key is not known here, so what it does is not either")
            if not accepts(value):
                raise self.refusal(key, self._why(key, value))
        for key in ("peft_type", "target_modules"):
            if key not in self.document:
                raise AdapterError(f"{self.path}: {key} is missing")
        of_list = [
            key for key in ("layers_to_transform", "layers_pattern") if self.document.get(key) is not None
        ]
        if of_list and isinstance(self.targets, str):
            raise self.refusal(of_list[0], f"PEFT does not take it beside target_modules = {self.targets!r}")
        if self.document.get("layers_pattern") and self.layers is None:
            raise self.refusal("layers_pattern", "PEFT takes it beside layers_to_transform alone")

    def refusal(self, key: str, why: str) -> AdapterError:
        """The error that names a key, its value and the reason."""
        value = repr(self._settings.get(key))
        shown = value if len(value) <= 80 else f"{value[:80]}…"
        return AdapterError(f"{self.path}: {key} = {shown}: {why}")

    def _why(self, key: str, value: object) -> str:
        if key == "peft_type":
            return "only LoRA can be imported"
        if key == "init_lora_weights" and isinstance(value, str):
            return next(
                (why for init, why in _WHY.items() if value.startswith(init)), "no such init is known here"
            )
        return "has no counterpart in lorafit"

    def reason_against(self, module: str) -> str | None:
        """The key by which PEFT does not adapt a module; None where it does (peft's check_target_module_exists)."""
        if _means(self.excluded, module):
            return "exclude_modules"
        if any(re.match(rf"(^|.*\.){saved}($|\..*)", module) for saved in self.saved_modules):
            return "modules_to_save"
        if not _means(self.targets, module):
            return "target_modules"
        if self.layers is None or module in self.targets:
            return None
        number = self._layer(module)
        return None if number in self.layers else "layers_to_transform"

    def _layer(self, module: str) -> int | None:
        """The first number in a module's name that counts layers."""
        lists = [rf"(?:^|.*?\.){pattern}" for pattern in self.layer_lists] or [r".*?\.[^.]*"]
        found = next(
            (m for m in (re.match(rf"{names}\.(?P<idx>\d+)\.", module) for names in lists) if m), None
        )
        return int(found["idx"]) if found else None

    def saves(self, module: str) -> bool:
        """Whether PEFT keeps a trained copy of a module; of the model itself where the name is ""."""
        return f"{PREFIX}{module}".removesuffix(".").endswith(tuple(self.saved_modules))

    @property
    def _settings(self) -> JsonObject:
        return DEFAULTS | self.document

    @property
    def dropout(self) -> float:
        return float(self._settings["lora_dropout"])

    @property
    def targets(self) -> str | list[str]:
        """A regular expression of whole names, or ends of names."""
        targets: str | list[str] = self.document["target_modules"]
        return targets

    @property
    def excluded(self) -> str | list[str]:
        """As `targets`."""
        excluded: str | list[str] | None = self._settings["exclude_modules"]
        return excluded or []

    @property
    def layers(self) -> list[int] | None:
        """The layers in which modules are adapted; None for all."""
        layers: list[int] | int | None = self._settings["layers_to_transform"]
        if layers is None or layers == []:
            return None
        return layers if isinstance(layers, list) else [layers]

    @property
    def layer_lists(self) -> list[str]:
        """Regular expressions of what stands before the number of a layer; any where there are none."""
        given: list[str] | str | None = self._settings["layers_pattern"]
        return given if isinstance(given, list) else [given] if given else []

    @property
    def saved_modules(self) -> list[str]:
        """Ends of the names of modules that trained whole. PEFT adds the usual names of a classifier."""
        saved: list[str] | None = self._settings["modules_to_save"]
        return [*(saved or []), *(("classifier", "score") if self.task_type == "SEQ_CLS" else ())]

    @property
    def trains_biases(self) -> bool:
        """Whether biases of the base were trained, and saved."""
        return bool(self._settings["bias"] != "none")

    @property
    def task_type(self) -> str | None:
        task_type: str | None = self._settings["task_type"]
        return task_type

    @property
    def init(self) -> str:
        """The name of an init, "" for PEFT's own."""
        init: str | bool | None = self._settings["init_lora_weights"]
        return init if isinstance(init, str) else ""

    @property
    def ties(self) -> bool:
        """Whether what trains of tied embeddings stays tied."""
        return bool(self._settings["ensure_weight_tying"])

    def rank(self, module: str) -> int:
        """The rank in a module."""
        ranks: dict[str, int] = self._settings["rank_pattern"]
        r: int = self._settings["r"]
        return ranks.get(_first_match(ranks, module), r)

    def scale(self, module: str) -> float:
        """alpha / r of a module, or alpha / sqrt(r) where it is rank-stabilised."""
        alphas: dict[str, float] = self._settings["alpha_pattern"]
        usual: float = self._settings["lora_alpha"]
        alpha = alphas.get(_first_match(alphas, module), usual)
        r = self.rank(module)
        return float(alpha) / (math.sqrt(r) if self._settings["use_rslora"] else r)


DEFAULTS: JsonObject = {
    "task_type": None,
    "r": 8,
    "rank_pattern": {},
    "lora_alpha": 8,
    "alpha_pattern": {},
    "use_rslora": False,
    "lora_dropout": 0.0,
    "exclude_modules": None,
    "layers_to_transform": None,
    "layers_pattern": None,
    "modules_to_save": None,
    "bias": "none",
    "ensure_weight_tying": False,
    "init_lora_weights": True,
}
"""PEFT's, of the keys that are used."""


def _first_match(patterns: Mapping[str, object], module: str) -> str:
    """The first pattern that matches the end of a module's name (peft.utils.get_pattern_key); "" for none."""
    return next((p for p in patterns if re.match(rf"(.*\.)?({p})$", module)), "")


def _means(names: str | list[str], module: str) -> bool:
    """Whether a module's name is meant by a regular expression of it, or by a list of ends."""
    if isinstance(names, str):
        return re.fullmatch(names, module) is not None
    return module in names or any(module.endswith(f".{name}") for name in names)
