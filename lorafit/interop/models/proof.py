"""A merged folder is opened again and has to compute what base + adapter compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lorafit.adapters.fingerprint import answers, coarsest, probe_inputs, tolerance
from lorafit.adapters.restore import method_of, restore, task_of
from lorafit.errors import AdapterError, NotAppliedError, NotFoundError, SetArgument
from lorafit.interop.models.base import LayerProof, MergeProof
from lorafit.interop.models.safetensors_stream import row_blocks, scanned
from lorafit.interop.models.source import MergeSource, parameter_names, stored_names
from lorafit.methods import Change
from lorafit.models import Model, Stored, load_base, load_config, skeleton, stored_tensors, weight_files
from lorafit.models.mapped import Weight, map_weights


def prove_folder(source: MergeSource, folder: Path) -> MergeProof:
    """Open what was written to `folder`, compare its weights with the base's and its answers with base + adapter.

    Raises NotAppliedError where it equals the base, AdapterError where it computes something else.
    """
    written = {tensor.name: tensor for tensor in stored_tensors(weight_files(folder))}
    layers = list(_layers(source, written))
    precision = coarsest(tensor.dtype for tensor in written.values())
    if not any(layer.num_changed for layer in layers):
        raise NotAppliedError(
            f"{source.adapter.folder}: adapter not applied: the merged weights equal the base's, since the adapter is "
            f"zero or lost in rounding to {precision}",
            SetArgument("dtype", "float32"),
        )
    merged = _merged_model(source, folder, list(written.values()))
    inputs, columns, reference, what = _reference(source, merged)
    now = answers(merged, inputs)[:, columns]
    difference, allowed = (now - reference).abs().max().item(), tolerance(reference, precision)
    if not difference <= allowed:
        raise AdapterError(
            f"{source.adapter.folder}: the merged model does not compute what {what} does: logits differ by "
            f"{difference:.3g}, allowed {allowed:.3g}; nothing was kept"
        )
    largest = reference.abs().max().item()
    return MergeProof(layers, difference, allowed, largest, len(inputs), reference.numel(), what)


def _layers(source: MergeSource, written: dict[str, Stored]) -> list[LayerProof]:
    file_names = {name: file_name for file_name, name in source.names.items()}
    proofs = []
    for name, change in source.changes.items():
        base, new = source.source_of(name), _written(source, written, file_names, name)
        if base is not None and base.shape == new.shape:
            proofs.append(_layer(name, change, base, new))
        else:  # a head that the base does not have
            proofs.append(LayerProof(name, 0.0, 0.0, new.num_rows, new.num_rows, None))
    return proofs


def _written(
    source: MergeSource, written: dict[str, Stored], file_names: dict[str, str], name: str
) -> Stored:
    """The tensor of a name, or of one that it is tied to, in the new files."""
    names = (file_names.get(alias, alias) for alias in (name, *source.all_names(name)))
    return next(written[file_name] for file_name in names if file_name in written)


@torch.no_grad()
def _layer(name: str, change: Change, base: Stored, new: Stored) -> LayerProof:
    """Some rows at a time; sums in float64."""
    along = delta_square = base_square = 0.0
    num_changed = 0
    change = scanned(change, base)
    for start, old in row_blocks(base):
        now = new.read_rows(start, start + len(old))
        num_changed += int((old.to(now.dtype) != now).sum())
        delta = _delta(change, old, start)
        old = old.float()
        written = now.float().sub_(old)
        base_square += _dot(old, old)
        delta_square += _dot(delta, delta)
        along += _dot(written, delta)
    share = along / delta_square if delta_square else 0.0
    survived = share if change.replacement is None else None
    return LayerProof(name, delta_square**0.5, base_square**0.5, num_changed, _count(base), survived)


def _delta(change: Change, old: Tensor, start: int) -> Tensor:
    """What the change adds to these rows, in float32. In float64 on the way: there the sum loses nothing."""
    return change.rows(old.double(), start).sub_(old).float()


def _dot(a: Tensor, b: Tensor) -> float:
    """Within a block float32 does; the blocks add up in float64."""
    return float(torch.dot(a.flatten(), b.flatten()))


def _count(stored: Stored) -> int:
    return stored.num_bytes // stored.dtype.itemsize


def _reference(source: MergeSource, merged: Model) -> tuple[list[list[int]], Tensor, Tensor, str]:
    """Inputs, the outputs to compare, and what base + adapter give for them: recorded, or computed now."""
    recorded = source.adapter.fingerprint
    if recorded is not None and recorded.precision == "float32":
        return recorded.inputs(), recorded.columns, recorded.trained, "the trained model"
    if recorded is not None:
        inputs, columns = recorded.inputs(), recorded.columns
    else:
        inputs = probe_inputs(merged.vocab_size)
        columns = None
    given = answers(_adapted_model(source), inputs)
    columns = torch.arange(given.shape[1]) if columns is None else columns
    return inputs, columns, given[:, columns], "base + adapter"


def _merged_model(source: MergeSource, folder: Path, written: list[Stored]) -> Model:
    """As anyone would load it: by its own config, and without the adapter."""
    output, config = task_of(source.adapter).output, load_config(str(folder))
    model = skeleton(config, output, with_buffers=True)
    try:
        _give_weights(model, parameter_names(model), written, {})
    except NotFoundError:  # tensors under names that only transformers knows to translate
        return load_base(config, str(folder), None, output)
    return model


def _adapted_model(source: MergeSource) -> Model:
    model = skeleton(source.config, task_of(source.adapter).output, with_buffers=True)
    names = parameter_names(model)
    method_of(source.adapter).attach_finished(model)
    try:
        _give_weights(model, names, source.stored, source.adapter.tensors)
    except NotFoundError:
        return restore(source.adapter, base=str(source.folder), force=True)
    model.net.eval()
    return model


def _give_weights(
    model: Model, names: dict[int, list[str]], stored: list[Stored], trained: Mapping[str, Tensor]
) -> None:
    """Each parameter of a skeleton its trained value, else its stored one, under any of its `names` in the base."""
    aliases = {name: group for group in names.values() for name in group}
    in_model = stored_names([tensor.name for tensor in stored], model, set(aliases))
    by_name = {in_model[tensor.name]: tensor for tensor in stored}
    weights: dict[int, Weight] = {}
    for name, parameter in model.net.named_parameters(remove_duplicate=False):
        for alias in aliases.get(name, [name]):
            if alias in by_name:
                weights[id(parameter)] = by_name[alias]
    weights |= {id(p): trained[name] for name, p in model.trained().items() if name in trained}
    map_weights(model, weights)
