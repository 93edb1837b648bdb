"""The state dict in a file of PyTorch's, out of whatever a training program has wrapped it in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lorafit.errors import AdapterError, Advice, DamagedError, NotFoundError
from lorafit.models.files.pickled import read_pickled

# Keys under which a program puts a model's state dict.
_WRAPPERS = ("model_state_dict", "state_dict", "model", "module")

# What programs keep beside it, of which no answer of the model depends.
_BOOKKEEPING = re.compile(
    r"(global_?|current_?)?(epochs?|steps?|iterations?|iter)|num_(epochs|steps)"
    r"|((optim|optimizer|(lr_?)?scheduler|scaler|grad_scaler|amp|rng|random)s?(_states?)?(_dicts?)?)"
    r"|lr|learning_rate|(best_|train_|val_|valid_|eval_)?(loss|acc|accuracy|score|metrics?)"
    r"|args|config|cfg|opt|version|date|time|seed"
    r"|pytorch-lightning_version|loops|callbacks|hparams_name|hyper_parameters|datamodule_\w+"
    r"|native_amp_scaling_state|(cuda_|numpy_|python_|torch_)rng_states?"
)

# Modules that a wrapper puts into the middle of names.
_INSERTED = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    """Every tensor of the model in a `.safetensors` or pickled file, in the file's dtype, on the CPU.

    Names are without what `torch.compile`, FSDP and activation checkpointing insert. Raises NotFoundError where there
    is no such file, DamagedError where it cannot be read, AdapterError where it holds what is not understood.
    """
    if not file.is_file():
        raise NotFoundError(f"{file}: no such file")
    is_pickled = file.suffix != ".safetensors"
    tensors = _unwrapped(file, read_pickled(file, DamagedError)) if is_pickled else _safetensors(file)
    first_names: dict[str, str] = {}
    for name in tensors:
        first = first_names.setdefault(_INSERTED.sub("", name), name)
        if first != name:
            raise AdapterError(f"{file}: holds {first!r} and {name!r}, which are one tensor of the model")
    return {plain: tensors[name] for plain, name in first_names.items()}


def _safetensors(file: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedError(f"{file}: not a whole safetensors file: {error}") from None


def _unwrapped(file: Path, document: object) -> Mapping[str, Tensor]:
    """The innermost of dicts in dicts, when all that lies beside it is bookkeeping."""
    if not isinstance(document, Mapping) or not all(isinstance(key, str) for key in document):
        raise AdapterError(f"{file}: is not a state dict")
    inner = [key for key in _WRAPPERS if isinstance(document.get(key), Mapping)]
    tensors = {key: value for key, value in document.items() if isinstance(value, Tensor)}
    if len(inner) > 1:
        raise AdapterError(f"{file}: holds two models, {inner[0]!r} and {inner[1]!r}")
    model = inner or list(tensors)
    for key in document:
        if key not in model and not _BOOKKEEPING.fullmatch(key.lower()):
            raise AdapterError(
                f"{file}: {key!r} is neither a tensor of the model nor known to be without effect",
                Advice("save the state dict alone"),
            )
    return _unwrapped(file, document[inner[0]]) if inner else tensors
