"""A merged folder is opened again and has to compute what base + adapter compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lorafit.adapters.fingerprint import answers, probe_inputs, tolerance
from lorafit.adapters.restore import method_of, restore, task_of
from lorafit.errors import AdapterError, NotAppliedError, NotFoundError
from lorafit.interop.hf_merged import MergeSource, parameter_names, stored_names
from lorafit.interop.safetensors_stream import block_rows
from lorafit.methods import Update
from lorafit.models import Model, Stored, load_base, load_config, skeleton, stored_tensors, weight_files
from lorafit.models.mapped import Weight, map_weights


@dataclass(frozen=True)
class LayerProof:
    """Of one adapted weight: ‖ΔW‖, ‖W‖, the values that changed, and the share of ΔW that survived rounding.

    `survived` = <W' - W, ΔW> / ‖ΔW‖²: 1 where W' is W + ΔW, 0 where rounding lost all of it; None where the weight was
    replaced whole.
    """

    name: str
    delta_norm: float
    base_norm: float
    num_changed: int
    num_values: int
    survived: float | None


@dataclass(frozen=True)
class MergeProof:
    """`max_difference` of the logits from those of `reference` (what was recorded when trained, or base + adapter)."""

    layers: list[LayerProof]
    max_difference: float
    allowed: float
    largest_logit: float
    num_inputs: int
    num_logits: int
    reference: str

    @property
    def least_survived(self) -> float:
        """The smallest share among the layers."""
        return min((layer.survived for layer in self.layers if layer.survived is not None), default=1.0)


def prove_merge(source: MergeSource, folder: Path) -> MergeProof:
    """Open what was written to `folder`, compare its weights with the base's and its answers with base + adapter.

    Raises NotAppliedError where it equals the base, AdapterError where it computes something else.
    """
    written = {tensor.name: tensor for tensor in stored_tensors(weight_files(folder))}
    layers = list(_layers(source, written))
    if not any(layer.num_changed for layer in layers):
        kind = next(iter(written.values())).dtype
        raise NotAppliedError(
            f"{source.adapter.folder}: adapter not applied: the merged weights equal the base's, since the adapter is "
            f"zero or lost in rounding to {str(kind).removeprefix('torch.')}; try --dtype float32"
        )
    merged = _merged_model(source, folder, list(written.values()))
    inputs, columns, reference, what = _reference(source, merged)
    now = answers(merged, inputs)[:, columns]
    precision = max((str(t.dtype).removeprefix("torch.") for t in written.values()), key=_coarseness)
    difference, allowed = (now - reference).abs().max().item(), tolerance(reference, precision)
    if not difference <= allowed:
        raise AdapterError(
            f"{source.adapter.folder}: the merged model does not compute what {what} does: logits differ by "
            f"{difference:.3g}, allowed {allowed:.3g}; nothing was kept"
        )
    largest = reference.abs().max().item()
    return MergeProof(layers, difference, allowed, largest, len(inputs), reference.numel(), what)


def _coarseness(dtype: str) -> float:
    return {"bfloat16": 2.0, "float16": 1.0}.get(dtype, 0.0)


def _layers(source: MergeSource, written: dict[str, Stored]) -> list[LayerProof]:
    file_names = {name: file_name for file_name, name in source.names.items()}
    proofs = []
    for name, change in source.changes.items():
        base, new = source.source_of(name), _written(source, written, file_names, name)
        if base is not None and base.shape == new.shape:
            proofs.append(_layer(name, change if isinstance(change, Update) else None, base, new))
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
def _layer(name: str, update: Update | None, base: Stored, new: Stored) -> LayerProof:
    """Some rows at a time; sums in float64."""
    along = delta_square = base_square = 0.0
    num_changed = 0
    step = block_rows(base)
    for start in range(0, base.num_rows, step):
        stop = min(start + step, base.num_rows)
        old, now = base.read_rows(start, stop), new.read_rows(start, stop)
        num_changed += int((old.to(now.dtype) != now).sum())
        old, now = old.float(), now.float()
        base_square += _dot(old, old)
        written = now.sub_(old)
        delta = update.delta(start, stop) if update is not None else written
        delta_square += _dot(delta, delta)
        along += _dot(written, delta)
    survived = (along / delta_square if delta_square else 0.0) if update is not None else None
    return LayerProof(name, delta_square**0.5, base_square**0.5, num_changed, _count(base), survived)


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
    """Each parameter of a skeleton its trained value, else its stored one, under any of its names."""
    known = {name for group in names.values() for name in group}
    in_model = stored_names([tensor.name for tensor in stored], model, known)
    by_name: dict[str, Weight] = {in_model[tensor.name]: tensor for tensor in stored}
    by_name |= trained
    weights: dict[int, Weight] = {}
    for name, parameter in model.net.named_parameters(remove_duplicate=False):
        for alias in names.get(id(parameter), [name]):
            if alias in by_name:
                weights[id(parameter)] = by_name[alias]
    map_weights(model, weights)
