"""Where a base's files are, and why they are not to be had."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

from lorafit.errors import Advice, NotFoundError, RunCommand, SetKey, reason_of
from lorafit.files import ASSET_PREFIX, local_path
from lorafit.hub import is_of_hub, why_no_hub
from lorafit.models.files.pickled import why_unreadable


def base_folder(base: str, revision: str | None = None) -> Path:
    """The local folder that holds the base's files: the folder itself, or its place in the Hugging Face cache."""
    if local_path(base).is_dir():
        return local_path(base)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        # Asked for all of its files, the cache does not give a base of which only those that matter were fetched.
        return Path(
            snapshot_download(base, revision=revision, allow_patterns=["config.json"], local_files_only=True)
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise not_found("files", base, revision, error, asked=False) from error


def hub_id_or_path(base: str) -> str:
    """What transformers finds the base by."""
    return str(local_path(base)) if local_path(base).is_dir() else base


def check_folder(base: str) -> None:
    """A path that is meant as a folder must be one, lest it be looked up on the hub under a puzzling name."""
    path = local_path(base)
    looks_like_path = base.startswith((".", "/", "~", ASSET_PREFIX)) or base.count("/") > 1
    if path.is_dir():
        check_config(path, base)
    elif looks_like_path or path.exists():
        raise NotFoundError(f"{base}: no such folder; a base is a Hugging Face model folder or a hub id")


def check_config(folder: Path, base: str) -> None:
    """A base has a config. Raises NotFoundError."""
    if not (folder / "config.json").is_file():
        raise NotFoundError(
            f"{base}: no config.json there; a base is a Hugging Face model folder or a hub id"
        )


def not_found(
    what: str, base: str, revision: str | None, error: Exception, *, asked: bool = True
) -> NotFoundError:
    """The error that says why `what` of a base cannot be read; `asked`: the hub was asked for it."""
    where = f"{base}@{revision}" if revision else base
    if "trust_remote_code" in str(error):
        return NotFoundError(
            f"{where}: its {what} contains custom code, which lorafit does not run",
            Advice("take a base of one of transformers' own architectures"),
        )
    if package := re.search(r"requires the (\S+) library", str(error)):
        return NotFoundError(f"{where}: its {what} needs {package[1]}, which is not here")
    if local_path(base).is_dir() or not is_of_hub(error):
        is_pickled = isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error)
        why = why_unreadable(error) if is_pickled else reason_of(error)
        return NotFoundError(f"{where}: its {what} cannot be read: {why}")
    if not asked:
        return NotFoundError(
            f"{where}: {what} not in the Hugging Face cache",
            RunCommand("lorafit fetch RECIPE", "needs the network"),
            SetKey("model.base", "FOLDER", "a folder on this machine"),
        )
    return NotFoundError(
        f"{where}: {what} not in the Hugging Face cache, and the hub gave none ({why_no_hub(error)})",
        Advice("check the id and the network"),
        SetKey("model.base", "FOLDER", "a folder on this machine"),
    )
