"""A base from the hub into its cache: what a plan reads of it, or all of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import constants, snapshot_download

from lorafit.errors import Advice, NotFoundError, RunCommand
from lorafit.files import local_path
from lorafit.hub import OnBytes, telling, why_no_hub
from lorafit.models.files.folder import base_folder, check_config
from lorafit.models.files.stored import weight_files

_WEIGHTS = (["*.safetensors", "*.safetensors.index.json"], ["pytorch_model*.bin", "*.bin.index.json"])
_REST = ["*.json", "*.txt", "*.model", "*.tiktoken"]


def fetch_config(base: str, revision: str | None = None) -> None:
    """Fetch what is read before the weights: config and tokenizer; nothing where they are here, or without a network.

    Raises NotFoundError where the hub gives none.
    """
    if constants.HF_HUB_OFFLINE or local_path(base).is_dir() or _has(base, revision, "config.json"):
        return
    check_config(_fetch(base, revision, _REST, lambda *_: None), base)


def fetch_base(base: str, revision: str | None, tell: OnBytes) -> None:
    """Fetch config, tokenizer and weights; pickled weights only where there are no others; nothing of a folder.

    Raises NotFoundError where the hub gives none.
    """
    if local_path(base).is_dir():
        return
    for patterns in _WEIGHTS:
        folder = _fetch(base, revision, [*_REST, *patterns], tell)
        if any(folder.glob(patterns[0])):
            return


def weights_at_hand(base: str, revision: str | None) -> bool:
    """Whether the weights are in a folder or in the cache."""
    try:
        weight_files(base_folder(base, revision))
    except NotFoundError:
        return False
    return True


def _has(base: str, revision: str | None, name: str) -> bool:
    try:
        return (base_folder(base, revision) / name).is_file()
    except NotFoundError:
        return False


def _fetch(base: str, revision: str | None, patterns: Sequence[str], tell: OnBytes) -> Path:
    try:
        return Path(
            snapshot_download(
                base,
                revision=revision,
                allow_patterns=[*patterns],
                ignore_patterns=["*/*"],
                tqdm_class=telling(tell),
            )
        )
    except Exception as error:  # huggingface_hub and httpx each have errors of their own
        where = f"{base}@{revision}" if revision else base
        raise NotFoundError(
            f"{where}: cannot be fetched from the hub: {why_no_hub(error)}",
            Advice("check the id and the network"),
            RunCommand("hf auth login", "where it is private or gated"),
        ) from error
