"""Where a base's config and its files say different things: what transformers makes of it, and what to say."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from lorafit.errors import NotFoundError
from lorafit.models.families import Family, family_of
from lorafit.models.files.stored import Stored, stored_tensors, weight_files
from lorafit.models.meta import skeleton
from lorafit.models.model import Model

_BLOCK_BYTES = 4 << 20


def tied_and_different(config: PretrainedConfig, folder: Path) -> tuple[str, str] | None:
    """Two weights that the config ties and the files in `folder` hold with different values.

    transformers leaves such weights apart, each with its own value.
    """
    family = family_of(config)
    if not getattr(config, "tie_word_embeddings", False) or "text" not in family.heads:
        return None
    try:
        stored = {tensor.name: tensor for tensor in stored_tensors(weight_files(folder))}
    except NotFoundError:  # which loading them will say
        return None
    prefix = f"{family.backbone}."
    if all(name.startswith(prefix) for name in stored):
        return None  # no output embedding there
    names: dict[int, list[str]] = {}
    for name, parameter in skeleton(copy.deepcopy(config), "text").net.named_parameters(
        remove_duplicate=False
    ):
        names.setdefault(id(parameter), []).append(name)
    for group in names.values():
        held = [stored[n] for name in group for n in (name, name.removeprefix(prefix)) if n in stored]
        for other in held[1:]:
            if not _are_equal(held[0], other):
                return held[0].name, other.name
    return None


def untie(config: PretrainedConfig) -> None:
    """Leave output and input embedding apart, in the config and in that of its language model."""
    for each in (config, config.get_text_config(decoder=True)):
        each.tie_word_embeddings = False


def _are_equal(one: Stored, other: Stored) -> bool:
    """As float32, some rows at a time."""
    if one.shape != other.shape:
        return False
    if (
        one.mapped is not None
        and other.mapped is not None
        and one.mapped.data_ptr() == other.mapped.data_ptr()
    ):
        return True  # one storage under two names, as pickled files have it
    step = max(_BLOCK_BYTES // max(one.row_bytes, 1), 1)
    starts = range(0, one.num_rows, step)
    return all(
        torch.equal(*(tensor.read_rows(i, min(i + step, one.num_rows)).float() for tensor in (one, other)))
        for i in starts
    )


def surplus(model: Model, unexpected: Sequence[str]) -> list[str]:
    """Tensors of the files that this model would have to use and does not.

    `unexpected`: those that transformers did not load. The heads of other tasks may lie there too, a pooler that this
    task has no use for, and what the architecture computes for itself.
    """
    family, net = model.family, model.net
    backbone = f"{family.backbone}."
    own = () if model.head.trains else (f"{model.head.output}.",)
    inner = {name for name, _ in net.base_model.named_children()}
    names = {name: f"{backbone}{name}" if name.split(".")[0] in inner else name for name in unexpected}
    used = {given: name for given, name in names.items() if name.startswith((backbone, *own))}
    if not used:
        return []
    unused = set(_without_use(family, net))
    return [
        given for given, name in used.items() if name not in unused and not _is_computed(family, net, name)
    ]


def _without_use(family: Family, net: PreTrainedModel) -> Iterator[str]:
    """Parameters of the backbone as such that the net of this task was built without."""
    with torch.device("meta"):
        whole = AutoModel.from_config(copy.deepcopy(net.config), trust_remote_code=False)
    for name, _ in whole.named_parameters():
        yield f"{family.backbone}.{name}"


def _is_computed(family: Family, net: PreTrainedModel, name: str) -> bool:
    leaf = name.rpartition(".")[2]
    is_buffer = any(buffer.rpartition(".")[2] == leaf for buffer, _ in net.named_buffers())
    return is_buffer or any(fnmatchcase(name, f"*.{glob}") for glob in family.computed)
