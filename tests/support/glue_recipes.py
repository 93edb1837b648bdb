"""A recipe for a tiny encoder on a tiny GLUE folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_recipe(path: Path, base: Path, data: Path, **changes: Any) -> Path:
    """`changes`: section__key=value."""
    sections: dict[str, dict[str, Any]] = {
        "model": {"base": str(base)},
        "method": {"name": "lora", "r": 4, "alpha": 8},
        "task": {"name": "sst2"},
        "data": {"dir": str(data), "max_length": 32},
        "train": {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "warmup_ratio": 0.1, "log_every": 1},
    }
    for name, value in changes.items():
        section, key = name.split("__")
        sections.setdefault(section, {})[key] = value
    lines = []
    for section, table in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path.write_text("\n".join(lines) + "\n")
    return path
