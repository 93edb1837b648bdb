"""What of a base is at hand without a network."""

from __future__ import annotations

from lorafit.errors import NotFoundError
from lorafit.models.files.folder import base_folder
from lorafit.models.files.stored import weight_files
from lorafit.models.load import load_tokenizer


def missing_files(base: str, revision: str | None = None) -> list[NotFoundError]:
    """An error for each of a base's config, tokenizer and weights that is not at hand. Nothing is downloaded."""
    try:
        folder = base_folder(base, revision)
    except NotFoundError as error:
        return [error]
    faults: list[NotFoundError] = []
    for look in (lambda: load_tokenizer(str(folder)), lambda: weight_files(folder)):
        try:
            look()
        except NotFoundError as error:
            faults.append(error)
    return faults
