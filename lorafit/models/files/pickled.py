"""Files of torch.save, read as tensors and plain values alone: no code in a file is ever run."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from zipfile import BadZipFile

import torch

from lorafit.errors import LorafitError

_FOREIGN_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def read_pickled(file: Path, fault: type[LorafitError], *, mapped: bool = False) -> object:
    """What the file holds, on the CPU; `mapped` leaves tensors on disk until they are used.

    Raises `fault` for a file that is damaged or holds more than tensors and plain values, FileNotFoundError where there
    is none.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of a pickle that is not torch's
            document: object = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises pickle, zip and runtime errors alike
        raise fault(f"{file}: cannot be read with weights_only: {why_unreadable(error)}") from error
    return document


def why_unreadable(error: BaseException) -> str:
    """What is wrong with a pickled file, in our words: torch's advise to run the code in it."""
    if found := _FOREIGN_GLOBAL.search(str(error)):
        return f"it holds {found[1]} beside tensors, and no code of a file is run"
    match error:
        case OSError(strerror=str(words)):
            return words
        case (
            pickle.UnpicklingError()
            | EOFError()
            | RuntimeError()
            | BadZipFile()
            | ValueError()
            | LookupError()
        ):
            return "it is damaged, or no file of torch.save"
    return type(error).__name__
