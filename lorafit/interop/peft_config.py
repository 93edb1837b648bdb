"""PEFT's `adapter_config.json`: read strictly, and asked what PEFT makes of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lorafit.errors import AdapterError, DamagedError, NotFoundError, Remedy
from lorafit.files import JsonObject
from lorafit.interop.peft_keys import KEYS, WHY_NOT
from lorafit.lora import STARTS

CONFIG_FILE = "adapter_config.json"
PREFIX = "base_model.model."  # of every tensor's and every module's name


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
        if self.rescales and self.init in STARTS:
            raise self.refusal(
                "use_dora", f"PEFT takes the norms of what init_lora_weights = {self.init!r} leaves"
            )
        of_list = [
            key for key in ("layers_to_transform", "layers_pattern") if self.document.get(key) is not None
        ]
        if of_list and isinstance(self.targets, str):
            raise self.refusal(of_list[0], f"PEFT does not take it beside target_modules = {self.targets!r}")
        if self.document.get("layers_pattern") and self.layers is None:
            raise self.refusal("layers_pattern", "PEFT takes it beside layers_to_transform alone")

    def refusal(self, key: str, why: str, *remedies: Remedy) -> AdapterError:
        """The error that names a key, its value and the reason."""
        value = repr(self._settings.get(key))
        shown = value if len(value) <= 80 else f"{value[:80]}…"
        return AdapterError(f"{self.path}: {key} = {shown}: {why}", *remedies)

    def _why(self, key: str, value: object) -> str:
        if key == "peft_type":
            return "only LoRA can be imported"
        if key == "init_lora_weights" and isinstance(value, str):
            return next(
                (why for init, why in WHY_NOT.items() if value.startswith(init)), "no such init is known here"
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
    def rescales(self) -> bool:
        """Whether it is DoRA."""
        return bool(self._settings["use_dora"])

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
    def token_rows(self) -> dict[str, list[int]]:
        """Ends of the names of tables -> the tokens whose rows trained; "" for the embedding, whatever its name."""
        given: dict[str, list[int]] | list[int] | None = self._settings["trainable_token_indices"]
        return given if isinstance(given, dict) else {"": given} if given else {}

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
    "use_dora": False,
    "lora_dropout": 0.0,
    "exclude_modules": None,
    "layers_to_transform": None,
    "layers_pattern": None,
    "modules_to_save": None,
    "bias": "none",
    "ensure_weight_tying": False,
    "trainable_token_indices": None,
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
