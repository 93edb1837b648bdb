"""How a change of adapter.json is noticed, and the changed key named.

Two seals: the sha256 of the whole document stands in adapter.json itself; what decides the adapter's function
stands, written out, in the metadata of adapter.safetensors too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from lorafit.errors import AdapterError, DamagedError, WrongScaleError
from lorafit.files import JsonObject

_FUNCTION = ("format_version", "method", "task")
_SCALE = re.compile(r"method\.(r|alpha|scaling)\b")


def document_seal(document: JsonObject) -> str:
    """sha256 over every key of adapter.json but `seal`, in whatever order and spacing they are written."""
    rest = {key: value for key, value in document.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def function_seal(document: Mapping[str, Any]) -> str:
    """The part of adapter.json that decides what the adapter computes, as JSON."""
    base = {key: document["base"].get(key) for key in ("config_hash", "weights_hash")}
    base |= {key: document["base"][key] for key in ("quantize",) if key in document["base"]}
    return json.dumps({**{key: document.get(key) for key in _FUNCTION}, "base": base}, sort_keys=True)


def changed_function(where: str, sealed: str | None, document: Mapping[str, Any]) -> AdapterError | None:
    """The error for an adapter.json whose function is not the sealed one; None where it is."""
    now = json.loads(function_seal(document))
    try:
        written = json.loads(sealed or "")
        changed = sorted(_differing(written, now))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return DamagedError(
            f"{where}: the tensors carry no seal that fits it; one of the two files is foreign"
        )
    if not changed:
        return None
    kind = WrongScaleError if any(map(_SCALE.match, changed)) else DamagedError
    values = ", ".join(f"{key} is {_shown(now, key)}, trained with {_shown(written, key)}" for key in changed)
    return kind(f"{where}: was changed after training: {values}")


def _differing(written: JsonObject, now: JsonObject, prefix: str = "") -> list[str]:
    changed = []
    for key in written.keys() | now.keys():
        old, new = written.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            changed += _differing(old, new, f"{prefix}{key}.")
        elif json.dumps(old) != json.dumps(new):
            changed.append(f"{prefix}{key}")
    return changed


def _shown(document: JsonObject, key: str) -> str:
    value: Any = document
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
