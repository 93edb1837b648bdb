"""What vLLM 0.32 refuses of a PEFT folder, as `PEFTHelper.validate_legal`, `check_unexpected_modules` and
`parse_fine_tuned_lora_name` of its `vllm/lora` say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
_REFUSED = (
    "use_dora",
    "lora_bias",
    "alora_invocation_tokens",
    "layer_replication",
    "use_bdlora",
    "use_qalora",
)


def vllm_faults(folder: Path, max_lora_rank: int, modules: set[str]) -> list[str]:
    """Why it does not load into an engine with that `max_lora_rank`, whose linear layers have these last names."""
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    saved = config.get("modules_to_save") or []
    faults = [f"modules_to_save {name}" for name in saved if name not in ("classifier", "score")]
    faults += [key for key in _REFUSED if config.get(key)]
    init = config.get("init_lora_weights", True)
    if isinstance(init, str) and init.lower() not in _INITS:
        faults.append(f"init_lora_weights {init}")
    if max(config["r"], *(config.get("rank_pattern") or {"": 0}).values()) > max_lora_rank:
        faults.append("rank")
    if config["bias"] != "none":
        faults.append("bias")
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        names = list(file.keys())
    for name in names:
        parts = name.removeprefix("base_model.model.").split(".")
        is_factor = parts[-1] == "weight" and parts[-2] in ("lora_A", "lora_B")
        is_head = parts[-1] in ("weight", "bias") and parts[-2] in ("score", "classifier")
        is_embedding = parts[-1] in ("lora_embedding_A", "lora_embedding_B")
        if not (is_factor or is_head or is_embedding):
            faults.append(f"{name} is unsupported")
        elif not is_head and parts[-3 if is_factor else -2] not in modules:
            faults.append(f"{name} is unexpected")
    return faults
