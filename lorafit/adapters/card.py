"""`adapter.json`: everything about an adapter but its numbers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lorafit.files import ASSET_PREFIX, JsonObject, local_path
from lorafit.recipe import DataSection, DecodeSection

FORMAT_VERSION: Literal[2] = 2


class Card(BaseModel):
    """Frozen; a key that this version does not know, or a value of another type, is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class BaseCard(Card):
    """The base the adapter was trained on; both hashes are sha256 (`lorafit.models.identity`).

    None: not known, because the adapter was imported and the base's files were not at hand. `quantize`: in what format
    its linear layers were held, where that is not their own.
    """

    id: str
    revision: str | None
    config_hash: str | None
    weights_hash: str | None
    quantize: Literal["nf4"] | None = Field(default=None, exclude_if=lambda value: value is None)

    @property
    def elsewhere(self) -> str:
        """Its name for other programs, which do not know where the package lies."""
        return str(local_path(self.id)) if self.id.startswith(ASSET_PREFIX) else self.id


class FileCard(Card):
    """A file of the folder: its sha256 and, for tensors, their names."""

    sha256: str
    num_bytes: int


class ArithmeticCard(Card):
    """In which number format the base's weights were held, and how many texts were decoded at a time, when the adapter
    was scored. With the same ones the same scores come out."""

    dtype: Literal["float32", "bfloat16"]
    batch_size: int


class Provenance(Card):
    """Where the adapter comes from."""

    created: str  # ISO 8601, UTC
    lorafit: str
    torch: str
    transformers: str
    commit: str | None = None  # of the lorafit checkout, where there is one
    recipe: str | None = None
    recipe_hash: str | None = None
    seed: int | None = None
    step: int | None = None
    data: dict[str, str] = {}  # split -> sha256 over the files that its rows come from
    metrics: dict[str, str] = {}  # a function of the user's that scores -> sha256 of its file
    inputs: dict[str, str] = {}  # sha256 of the tokenizer, and of the adapter that training started from
    imported_from: str | None = None  # another format's file


class AdapterCard(Card):
    """The whole of adapter.json."""

    format_version: Literal[2] = FORMAT_VERSION
    base: BaseCard
    method: JsonObject  # name and options, as Method.options() gives them
    task: JsonObject  # the whole [task] section, as Task.options() gives it
    data: DataSection = DataSection()
    decode: DecodeSection = DecodeSection()
    arithmetic: ArithmeticCard | None = (
        None  # None: an adapter that was imported, or is of an earlier lorafit
    )
    paths: dict[str, str] = {}  # relative path in `base` or `data` -> the absolute one, when this was written
    scores: JsonObject = {}
    provenance: Provenance
    files: dict[str, FileCard] = {}  # filled when the folder is written
    seal: str = ""  # sha256 of everything above, so that an edited file is noticed
