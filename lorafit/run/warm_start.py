"""`method.init_from`: LoRA that starts as another adapter's, such as RTE from MNLI. The head stays fresh.

`train.init_from`: every tensor starts as in another adapter, which may be an imported one.
"""

from __future__ import annotations

from pathlib import Path

import torch

from lorafit import lora
from lorafit.adapters import Adapter, BaseCard, read_adapter
from lorafit.adapters.restore import differing, method_of
from lorafit.errors import AdapterError, RecipeError, SetKey, WrongBaseError
from lorafit.files import local_path
from lorafit.methods import Method
from lorafit.models import Model


def source_of(method: Method) -> Path | None:
    """The adapter folder that a recipe starts from, if it does."""
    named = method.warm_start_source
    return local_path(named) if named is not None else None


def plan_warm_start(method: Method, shape: Model) -> str | None:
    """A note on the adapter that LoRA will start from, or that it is missing. None for an ordinary start.

    `shape` has the method attached. Raises RecipeError or AdapterError where the adapter exists and does not fit.
    """
    folder = source_of(method)
    if folder is None:
        return None
    if not folder.exists():
        return f"method.init_from: {folder} is missing; training needs it"
    adapter = read_adapter(folder)
    _check_method(method, adapter)
    _check_tensors(adapter, shape)
    return f"LoRA starts from {folder} (task {adapter.card.task['name']})"


def check_start(method: Method, init_from: str | None, base: BaseCard) -> None:
    """What a plan cannot know of the adapter that a run starts from: that it is there, and of this `base`.

    `init_from`: that of the whole start. Raises NotFoundError for a missing folder, RecipeError or AdapterError for an
    adapter that does not fit.
    """
    if init_from is not None:
        _check_base("train", read_start(init_from, method), base)
    if (folder := source_of(method)) is not None:
        adapter = read_adapter(folder)
        _check_method(method, adapter)
        _check_base("method", adapter, base)


def warm_start(method: Method, model: Model) -> list[str]:
    """Copy the source's LoRA tensors into a model that has the method attached. Of the head only what the paper's code
    copies is copied: DeBERTa's pooler. Returns notes on what was done.

    Raises NotFoundError for a missing folder, AdapterError for an adapter that does not fit the model (see
    `check_start`).
    """
    folder = source_of(method)
    if folder is None:
        return []
    adapter = read_adapter(folder)
    _check_tensors(adapter, model)
    trained = model.trained()
    names = [name for name in trained if not model.is_head(name) and name in adapter.tensors]
    kept = [name for name in trained if _is_kept(name, model) and name in adapter.tensors]
    with torch.no_grad():
        for name in (*names, *kept):
            trained[name].copy_(adapter.tensors[name])
    along = f" and {model.head.kept_by_warm_start}" if kept else ""
    fresh = {model.family.head_module(n) for n, _ in model.head_parameters() if n not in kept}
    head = f", head fresh ({', '.join(sorted(fresh))})" if fresh else ""
    return [f"LoRA{along} from {folder} (task {adapter.card.task['name']}){head}"]


def read_start(name: str, method: Method) -> Adapter:
    """The adapter of `train.init_from`, whose every tensor is the start: it must mean the same with this method.

    Raises NotFoundError for a missing folder, RecipeError for an adapter of another method, rank or scale.
    """
    adapter = read_adapter(local_path(name))
    theirs = method_of(adapter)
    conflict = method.warm_start_conflict(theirs) if method.low_rank else None
    if theirs.name != method.name:
        conflict = f"was trained with {theirs.name}, and this recipe trains {method.name}"
    if conflict is not None:
        raise RecipeError(f"[train] init_from: {adapter.folder} {conflict}")
    return adapter


def _is_kept(name: str, model: Model) -> bool:
    kept = model.head.kept_by_warm_start
    return bool(kept) and name.startswith(f"{kept}.")


def _check_method(method: Method, adapter: Adapter) -> None:
    conflict = method.warm_start_conflict(method_of(adapter))
    if conflict is not None:
        raise RecipeError(f"[method] init_from: {adapter.folder} {conflict}")


def _check_base(section: str, adapter: Adapter, base: BaseCard) -> None:
    """Raises WrongBaseError where an adapter was trained on another base, as far as hashes are known."""
    if unlike := differing(adapter.card.base, base):
        raise WrongBaseError(
            f"[{section}] init_from: {adapter.folder} was trained on another base, {adapter.card.base.id}: it differs "
            f"from {base.id} in its {' and '.join(unlike)}",
            SetKey("model.base", note="to the adapter's"),
        )


def _check_tensors(adapter: Adapter, model: Model) -> None:
    """Inside the encoder, source and model must have the same tensors."""
    trained, names = model.trained(), sorted(lora.adapter_parameters(model.net))
    where = f"[method] init_from: {adapter.folder}"
    for name in names:
        tensor, wanted = adapter.tensors.get(name), list(trained[name].shape)
        if tensor is None or list(tensor.shape) != wanted:
            found = "is missing" if tensor is None else f"is {list(tensor.shape)}"
            raise AdapterError(f"{where}: {name!r} {found}, but this base and its targets need {wanted}")
    inside = {name for name in adapter.tensors if not model.is_head(name)}
    if more := sorted(inside - trained.keys()):
        raise AdapterError(
            f"{where}: also trained {more[0]!r}",
            SetKey("method.targets", note="to the adapter's, and method.also_train too"),
        )
    for name in inside - set(names):
        if adapter.tensors[name].shape != trained[name].shape:
            raise AdapterError(
                f"{where}: {name!r} is {list(adapter.tensors[name].shape)}, but this base has "
                f"{list(trained[name].shape)}"
            )
