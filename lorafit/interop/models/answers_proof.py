"""A merged folder is opened again and has to compute what base + adapter compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lorafit.adapters.fingerprint import answers, coarsest, probe_inputs, tolerance
from lorafit.adapters.restore import method_of, model_config, restore, task_of
from lorafit.errors import AdapterError, NotFoundError
from lorafit.interop.models.base import AnswersProof
from lorafit.interop.models.source import MergeSource, parameter_names, stored_names
from lorafit.models import Model, Stored, load_base, load_config, skeleton, stored_tensors, weight_files
from lorafit.models.files.mapped import Weight, map_weights


def prove_answers(source: MergeSource, folder: Path) -> AnswersProof:
    """Compare the answers of what was written to `folder` with those of base + adapter.

    Raises AdapterError where it computes something else.
    """
    written = list(stored_tensors(weight_files(folder)))
    precision = coarsest(tensor.dtype for tensor in written)
    merged = _merged_model(source, folder, written)
    inputs, columns, reference, what = _reference(source, merged)
    now = answers(merged, inputs)[:, columns]
    difference, allowed = (now - reference).abs().max().item(), tolerance(reference, precision)
    if not difference <= allowed:
        raise AdapterError(
            f"{source.adapter.folder}: the merged model does not compute what {what} does: logits differ by "
            f"{difference:.3g}, allowed {allowed:.3g}; nothing was kept"
        )
    largest = reference.abs().max().item()
    proof = AnswersProof(difference, allowed, largest, len(inputs), reference.numel(), what)
    recorded = source.adapter.fingerprint
    if source.adapter.card.base.quantize is None or recorded is None:
        return proof
    moved = (now - recorded.trained).abs().max().item()
    has_base = recorded.base.numel() > 0
    effect = (recorded.trained - recorded.base).abs().max().item() if has_base else None
    return replace(proof, moved=moved, effect=effect)


def _reference(source: MergeSource, merged: Model) -> tuple[list[list[int]], Tensor, Tensor, str]:
    """Inputs, the outputs to compare, and what base + adapter give for them: recorded, or computed now."""
    recorded = source.adapter.fingerprint
    if recorded is not None and recorded.precision == "float32" and not source.is_moved:
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
    model = skeleton(
        model_config(source.adapter, str(source.folder), None),
        task_of(source.adapter).output,
        with_buffers=True,
    )
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
