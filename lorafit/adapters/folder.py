"""Reading and writing the adapter folder. A damaged folder is refused by name, never half-read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
from pydantic import ValidationError
from torch import Tensor

from lorafit.adapters.card import AdapterCard, FileCard
from lorafit.adapters.fingerprint import FINGERPRINT_FILE, Fingerprint
from lorafit.adapters.model_card import model_card
from lorafit.errors import AdapterError, NotFoundError, did_you_mean
from lorafit.files import new_folder

CARD_FILE = "adapter.json"
TENSOR_FILE = "adapter.safetensors"
# What decides the adapter's function stands in both files, so that a changed adapter.json is noticed.
_SEALED = ("format_version", "method", "task")


@dataclass(frozen=True)
class Adapter:
    """An adapter folder in memory: its card, its tensors by parameter name, and its fingerprint where it has one."""

    folder: Path
    card: AdapterCard
    tensors: dict[str, Tensor]
    fingerprint: Fingerprint | None


def write_adapter(
    folder: Path, card: AdapterCard, tensors: dict[str, Tensor], fingerprint: Fingerprint | None = None
) -> AdapterCard:
    """Write the folder at once (temporary name, fsync, rename). Returns the card with the files' hashes in it."""
    contents = {TENSOR_FILE: safetensors.torch.save(tensors, metadata={"lorafit": _seal(card)})}
    if fingerprint is not None:
        contents[FINGERPRINT_FILE] = fingerprint.to_bytes()
    files = {n: FileCard(sha256=hashlib.sha256(c).hexdigest(), num_bytes=len(c)) for n, c in contents.items()}
    card = card.model_copy(update={"files": files})
    with new_folder(folder) as temporary:
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
        (temporary / CARD_FILE).write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n")
        (temporary / "README.md").write_text(model_card(card, tensors))
    return card


def read_adapter(folder: Path) -> Adapter:
    """Read and check a whole adapter folder.

    Raises NotFoundError when it is no adapter folder, AdapterError that names the damaged file otherwise.
    """
    card = _read_card(folder)
    contents = {name: _read_file(folder, name, known) for name, known in card.files.items()}
    if TENSOR_FILE not in contents:
        raise AdapterError(f"{folder / CARD_FILE}: does not list {TENSOR_FILE}; the folder is damaged")
    path = folder / TENSOR_FILE
    try:
        tensors = safetensors.torch.load(contents[TENSOR_FILE])
        seal = _metadata(contents[TENSOR_FILE]).get("lorafit")
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise AdapterError(f"{path}: not a readable safetensors file: {error}") from None
    if seal != _seal(card):
        raise AdapterError(
            f"{folder / CARD_FILE}: its {' or '.join(_changed(seal, card))} is not what {TENSOR_FILE} was written "
            f"with; one of the two files was changed"
        )
    fingerprint = contents.get(FINGERPRINT_FILE)
    return Adapter(folder, card, tensors, Fingerprint.of_bytes(fingerprint) if fingerprint else None)


def _read_card(folder: Path) -> AdapterCard:
    path = folder / CARD_FILE
    if not folder.is_dir():
        raise NotFoundError(f"{folder}: no such adapter folder")
    if not path.is_file():
        inner = next((p.parent for p in sorted(folder.glob(f"*/{CARD_FILE}"))), None)
        hint = f"; did you mean {str(inner)!r}?" if inner else ""
        raise NotFoundError(f"{folder}: no {CARD_FILE} there, so it is not an adapter folder{hint}")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document.get("format_version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > 1:
            raise AdapterError(
                f"{path}: format version {version} is newer than this lorafit reads (1); upgrade lorafit"
            )
        return AdapterCard.model_validate_json(json.dumps(document))
    except ValidationError as error:
        detail = error.errors()[0]
        key = ".".join(str(part) for part in detail["loc"])
        hint = did_you_mean(key, AdapterCard.model_fields)
        raise AdapterError(
            f"{path}: {key}: {detail['msg']}{hint}; the file is damaged or was edited"
        ) from None
    except (ValueError, OSError) as error:
        raise AdapterError(f"{path}: not readable as JSON: {error}") from None


def _read_file(folder: Path, name: str, known: FileCard) -> bytes:
    path = folder / name
    if Path(name).name != name:
        raise AdapterError(f"{folder / CARD_FILE}: lists the file {name!r}, which does not lie in the folder")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AdapterError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) != known.num_bytes:
        raise AdapterError(
            f"{path}: has {len(content)} bytes instead of {known.num_bytes}; the file is damaged"
        )
    if hashlib.sha256(content).hexdigest() != known.sha256:
        raise AdapterError(f"{path}: its sha256 is not the one in {CARD_FILE}; the file is damaged")
    return content


def _seal(card: AdapterCard) -> str:
    document = card.model_dump(mode="json")
    base = {key: document["base"][key] for key in ("config_hash", "weights_hash")}
    return json.dumps({**{key: document[key] for key in _SEALED}, "base": base}, sort_keys=True)


def _changed(seal: str | None, card: AdapterCard) -> list[str]:
    try:
        written = json.loads(seal or "{}")
    except ValueError:
        written = {}
    now = json.loads(_seal(card))
    changed = []
    for part, value in now.items():
        other = written.get(part)
        if isinstance(value, dict) and isinstance(other, dict):
            changed += [
                f"{part}.{key}" for key in value.keys() | other.keys() if value.get(key) != other.get(key)
            ]
        elif value != other:
            changed.append(part)
    return sorted(changed) or ["seal"]


def _metadata(content: bytes) -> dict[str, str]:
    size = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + size]).get("__metadata__", {}))
