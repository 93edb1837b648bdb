"""Checkpoints: everything that a run needs to continue as if it had never stopped.

checkpoints/step-<n>/
  state.pt        trained tensors, optimizer, random generators of every process (read with weights_only=True)
  progress.json   position in the data, and the state of the run
  best/           the best adapter so far
  manifest.json   sha256 and size of every other file
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lorafit.errors import Advice, DataError, LorafitError, RecipeError, SetArgument, reason_of
from lorafit.files import JsonObject, new_folder
from lorafit.models.files.pickled import read_pickled
from lorafit.run.files.paths import PROGRESS_FILE, checkpoint_folders
from lorafit.training.member import Position

FORMAT_VERSION = 2  # 1 had the states of torch's, Python's and numpy's global generators
MANIFEST_FILE = "manifest.json"
STATE_FILE = "state.pt"
BEST_FOLDER = "best"


@dataclass(frozen=True)
class Checkpoint:
    """A run at one moment. `rng`: the state of each process's `Draws`; `state`: the state of the run, as JSON."""

    position: Position
    trained: dict[str, Tensor]
    optimizer: JsonObject
    rng: list[dict[str, Tensor]]
    state: JsonObject = field(default_factory=dict)
    best: Path | None = None  # the best adapter's folder


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> int:
    """Write a checkpoint atomically (temporary name, fsync, rename). Returns its size in bytes.

    The best adapter is linked, not copied, where the file system can. Raises LorafitError when it cannot be written;
    what was there before is then still there.
    """
    tensors = {
        "trained": checkpoint.trained,
        "optimizer": checkpoint.optimizer,
        "rng": checkpoint.rng,
    }
    progress = {"position": asdict(checkpoint.position), **checkpoint.state}
    with new_folder(folder) as temporary:
        _save_state(temporary / STATE_FILE, tensors)
        (temporary / PROGRESS_FILE).write_text(json.dumps(progress, indent=2, allow_nan=False) + "\n")
        if checkpoint.best is not None:
            copy_linked(checkpoint.best, temporary / BEST_FOLDER)
        files = {str(p.relative_to(temporary)): _file_entry(p) for p in _files(temporary)}
        manifest = {"format_version": FORMAT_VERSION, "step": checkpoint.position.step, "files": files}
        (temporary / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n")
    return num_bytes(folder)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read and check a whole checkpoint.

    Raises DataError that names the damaged file, RecipeError for one of another format version.
    """
    _check_files(folder)
    try:
        tensors = read_pickled(folder / STATE_FILE, DataError)
        progress = json.loads((folder / PROGRESS_FILE).read_text(encoding="utf-8"))
        position = Position(**progress.pop("position"))
        if not isinstance(tensors, dict):
            raise TypeError(f"{STATE_FILE} holds no dict")
        best = folder / BEST_FOLDER
        return Checkpoint(position, **tensors, state=progress, best=best if best.is_dir() else None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: cannot be read: {reason_of(error)}") from None


def newest_checkpoint(root: Path) -> tuple[Path | None, Checkpoint | None, list[str]]:
    """The newest valid checkpoint in `root`, and what is wrong with each newer one, which was skipped.

    Raises RecipeError for one of another format version, which is not damaged.
    """
    faults: list[str] = []
    for folder in checkpoint_folders(root):
        try:
            return folder, read_checkpoint(folder), faults
        except DataError as error:
            faults.append(str(error))
    return None, None, faults


def num_bytes(folder: Path) -> int:
    """The size of a checkpoint."""
    return sum(path.stat().st_size for path in _files(folder))


def prune(root: Path, keep: int) -> None:
    """Delete all checkpoints but the newest `keep`. Files that cannot be deleted stay."""
    for folder in checkpoint_folders(root)[keep:]:
        shutil.rmtree(folder, ignore_errors=True)


def copy_linked(source: Path, target: Path) -> None:
    """Copy a folder whose files never change, by hard links where possible."""
    target.mkdir(parents=True, exist_ok=True)
    for path in _files(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, place)
        except OSError:
            shutil.copyfile(path, place)


def _save_state(path: Path, state: JsonObject) -> None:
    """torch.save, which raises OSError where the disk is full."""
    with path.open("wb") as stream:
        try:
            torch.save(state, stream)
        except RuntimeError as error:  # PyTorch's zip writer wraps what the stream raised
            cause = error.__context__
            raise (
                cause if isinstance(cause, OSError) else OSError(None, str(error).splitlines()[0])
            ) from error


def _check_files(folder: Path) -> None:
    path = folder / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version, files = manifest["format_version"], manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if version != FORMAT_VERSION:
        raise _other_version(folder, version)
    for name, entry in files.items():
        with contextlib.suppress(OSError):
            if _file_entry(folder / name) == entry:
                continue
        raise DataError(f"{folder / name}: missing, or not what {MANIFEST_FILE} says")


def _other_version(folder: Path, version: object) -> LorafitError:
    """A whole checkpoint from which this lorafit cannot continue."""
    start_over = SetArgument("resume", "never", "starts over")
    if version == 1:
        return RecipeError(
            f"{folder}: written by an earlier lorafit, whose random draws were others",
            start_over,
            Advice("finish the run with lorafit 0.1"),
        )
    if isinstance(version, int) and version > FORMAT_VERSION:
        return RecipeError(
            f"{folder}: format version {version} is newer than this lorafit reads ({FORMAT_VERSION})",
            Advice("upgrade lorafit"),
            start_over,
        )
    return DataError(f"{folder / MANIFEST_FILE}: there is no format version {version!r}")


def _file_entry(path: Path) -> JsonObject:
    with path.open("rb") as stream:
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "num_bytes": path.stat().st_size}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
