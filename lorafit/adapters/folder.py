"""Reading and writing the adapter folder. A damaged folder is refused by name, never half-read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

from lorafit.adapters import version1
from lorafit.adapters.card import FORMAT_VERSION, AdapterCard, ArithmeticCard, FileCard
from lorafit.adapters.fingerprint import FINGERPRINT_FILE, Fingerprint
from lorafit.adapters.model_card import model_card
from lorafit.adapters.seal import changed_function, document_seal, function_seal
from lorafit.errors import AdapterError, Advice, DamagedError, NotFoundError, SetArgument, did_you_mean
from lorafit.files import JsonObject, absolute_path, new_folder, write_text

CARD_FILE = "adapter.json"
TENSOR_FILE = "adapter.safetensors"


@dataclass(frozen=True)
class Adapter:
    """An adapter folder in memory: its card, its tensors by parameter name, and its fingerprint where it has one."""

    folder: Path
    card: AdapterCard
    tensors: dict[str, Tensor]
    fingerprint: Fingerprint | None

    @property
    def arithmetic(self) -> ArithmeticCard:
        """How it is computed where that stands in the card; else in the format of the fingerprint, if it has one."""
        was_bfloat16 = self.fingerprint is not None and self.fingerprint.precision == "bfloat16"
        guessed = ArithmeticCard(dtype="bfloat16" if was_bfloat16 else "float32", batch_size=16)
        return self.card.arithmetic or guessed

    def on(self, base: str, revision: str | None) -> Adapter:
        """The same adapter, whose card names its base by another path or id."""
        card = self.card.base.model_copy(update={"id": base, "revision": revision})
        return replace(self, card=self.card.model_copy(update={"base": card}))


def write_adapter(
    folder: Path, card: AdapterCard, tensors: dict[str, Tensor], fingerprint: Fingerprint | None = None
) -> AdapterCard:
    """Write the folder at once (temporary name, fsync, rename).

    Returns the card with the files' hashes in it, and with the absolute form of its relative paths.
    """
    names = [card.base.id, *card.data.paths()]
    found = {name: path for name in names if (path := absolute_path(name)) is not None}
    card = card.model_copy(update={"paths": {**found, **card.paths}})
    contents = {
        TENSOR_FILE: safetensors.torch.save(
            tensors, metadata={"lorafit": function_seal(card.model_dump(mode="json"))}
        )
    }
    if fingerprint is not None:
        contents[FINGERPRINT_FILE] = fingerprint.to_bytes()
    files = {n: FileCard(sha256=hashlib.sha256(c).hexdigest(), num_bytes=len(c)) for n, c in contents.items()}
    card = _sealed(card.model_copy(update={"files": files}))
    with new_folder(folder) as temporary:
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
        (temporary / CARD_FILE).write_text(_card_text(card), encoding="utf-8")
        (temporary / "README.md").write_text(model_card(card, tensors), encoding="utf-8")
    return card


def record_scores(folder: Path, scores: JsonObject, arithmetic: ArithmeticCard | None = None) -> AdapterCard:
    """Put scores, and how they were computed, into adapter.json and the model card of a folder; tensors and fingerprint
    stay untouched.

    A folder of an older format version becomes one of this version.
    """
    adapter = read_adapter(folder)
    card = adapter.card.model_copy(
        update={"scores": scores, "arithmetic": arithmetic or adapter.card.arithmetic}
    )
    if _read_document(folder)["format_version"] != FORMAT_VERSION:
        return write_adapter(folder, card, adapter.tensors, adapter.fingerprint)
    card = _sealed(card)
    write_text(folder / CARD_FILE, _card_text(card))
    write_text(folder / "README.md", model_card(card, adapter.tensors))
    return card


def read_adapter(folder: Path) -> Adapter:
    """Read and check a whole adapter folder.

    Raises NotFoundError when it is no adapter folder, DamagedError or WrongScaleError that names file and place
    otherwise.
    """
    try:
        return _read(folder)
    except RecursionError:
        raise DamagedError(f"{folder / CARD_FILE}: nested too deeply; the file is damaged") from None


def _read(folder: Path) -> Adapter:
    document = _read_document(folder)
    card = _parse(folder / CARD_FILE, document)
    untouched = card.seal == document_seal(document)
    if TENSOR_FILE not in card.files:
        raise DamagedError(f"{folder / CARD_FILE}: files: does not list {TENSOR_FILE}; the file was edited")
    contents = {name: _read_file(folder, name, known, untouched) for name, known in card.files.items()}
    tensors, sealed = _read_tensors(folder / TENSOR_FILE, contents[TENSOR_FILE])
    if fault := changed_function(str(folder / CARD_FILE), sealed, document):
        raise fault
    if not untouched:
        raise DamagedError(
            f"{folder / CARD_FILE}: was edited after it was written (its seal does not fit)",
            Advice("train or import again"),
            SetArgument("base", note="where only the path of the base has changed"),
        )
    fingerprint = contents.get(FINGERPRINT_FILE)
    return Adapter(folder, card, tensors, _read_fingerprint(folder / FINGERPRINT_FILE, fingerprint))


def _sealed(card: AdapterCard) -> AdapterCard:
    return card.model_copy(update={"seal": document_seal(card.model_dump(mode="json"))})


def _card_text(card: AdapterCard) -> str:
    return json.dumps(card.model_dump(mode="json"), indent=2, allow_nan=False) + "\n"


def _read_document(folder: Path) -> JsonObject:
    path = folder / CARD_FILE
    if not folder.is_dir():
        raise NotFoundError(f"{folder}: no such adapter folder")
    if not path.exists():
        inner = next((p.parent for p in sorted(folder.glob(f"*/{CARD_FILE}"))), None)
        hint = f"; did you mean {str(inner)!r}?" if inner else ""
        raise NotFoundError(f"{folder}: no {CARD_FILE} there, so it is not an adapter folder{hint}")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DamagedError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(document, dict):
        raise DamagedError(f"{path}: not a JSON object; the file is damaged")
    return document


def _parse(path: Path, document: JsonObject) -> AdapterCard:
    version = document.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise AdapterError(
            f"{path}: format version {version} is newer than this lorafit reads ({FORMAT_VERSION}); upgrade lorafit, "
            f"or the file is damaged"
        )
    try:
        if version == version1.FORMAT_VERSION:
            return version1.upgraded(document)
        return AdapterCard.model_validate_json(json.dumps(document))
    except ValidationError as error:
        detail = error.errors()[0]
        key = ".".join(str(part) for part in detail["loc"])
        hint = did_you_mean(key, AdapterCard.model_fields)
        raise DamagedError(
            f"{path}: {key}: {detail['msg']}{hint}; the file is damaged or was edited"
        ) from None


def _read_file(folder: Path, name: str, known: FileCard, card_untouched: bool) -> bytes:
    path = folder / name
    if Path(name).name != name:
        raise DamagedError(f"{folder / CARD_FILE}: files: lists {name!r}, which does not lie in the folder")
    content, fault = b"", None
    try:
        content = path.read_bytes()
        if len(content) != known.num_bytes:
            fault = f"has {len(content)} bytes instead of {known.num_bytes}"
        elif hashlib.sha256(content).hexdigest() != known.sha256:
            fault = "its bytes are not those that were written (sha256)"
    except (OSError, ValueError) as error:
        fault = f"cannot be read: {getattr(error, 'strerror', error)}"
    if fault and not card_untouched:
        raise DamagedError(f"{folder / CARD_FILE}: was edited after it was written; by it, {name} {fault}")
    if fault:
        raise DamagedError(f"{path}: {fault}; the file is damaged")
    return content


def _read_tensors(path: Path, content: bytes) -> tuple[dict[str, Tensor], str | None]:
    """The tensors and the seal beside them. Whoever made the bytes, only whole, finite tensors come out."""
    try:
        tensors = safetensors.torch.load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{path}: not a readable safetensors file: {error}") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DamagedError(f"{path}: {name!r} holds values that are not finite")
    return tensors, metadata.get("lorafit")


def _read_fingerprint(path: Path, content: bytes | None) -> Fingerprint | None:
    if content is None:
        return None
    try:
        return Fingerprint.of_bytes(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{path}: not a readable fingerprint: {error}") from None
