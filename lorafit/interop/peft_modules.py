"""What PEFT does to a base when it loads an adapter: modules that it adapts or saves, weights that it changes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lorafit.errors import AdapterError, SetArgument
from lorafit.interop.base_tensors import BaseTensors
from lorafit.interop.foreign import Foreign
from lorafit.interop.peft_config import PeftConfig
from lorafit.interop.peft_inits import on_the_base
from lorafit.lora import STARTS
from lorafit.models import Model, names_of_added_rows, planned_tokens, tables_with_rows


def check_task(config: PeftConfig, shape: Model) -> None:
    """PEFT's class for a task, and its ties, must mean what the base's `shape` computes."""
    if config.task_type is not None and (config.task_type == "CAUSAL_LM") != (shape.output == "text"):
        what = "writes text" if shape.output == "text" else "gives labels"
        raise config.refusal("task_type", f"with what the adapter holds, this base {what}")
    if config.ties and shape.family.text_config(shape.net.config).tie_word_embeddings:
        raise config.refusal("ensure_weight_tying", "lorafit unties the embeddings that an adapter changes")


def check_adapted(config: PeftConfig, foreign: Foreign, shape: Model) -> None:
    """The file must hold exactly the modules that PEFT would adapt.

    Raises AdapterError by the key that says otherwise.
    """
    modules = _named(foreign, shape)
    for name in foreign.layers:
        if name not in modules:
            raise AdapterError(f"{foreign.path}: adapts {name!r}, which this base does not have; wrong base")
        if (key := config.reason_against(name)) is not None:
            raise config.refusal(
                key, f"by it PEFT would not adapt {name!r}, which the file holds an adapter of"
            )
        if (reason := _no_start(config, modules[name], len(foreign.layers[name]["A"]))) is not None:
            raise config.refusal("init_lora_weights", f"{name!r}: {reason}")
    for name in modules:
        if name not in foreign.layers and config.reason_against(name) is None:
            raise config.refusal(
                "target_modules",
                f"with exclude_modules, layers_to_transform and layers_pattern it means {name!r} too, of which the "
                f"file holds no adapter",
            )


def trained_whole(config: PeftConfig, foreign: Foreign, shape: Model) -> frozenset[str]:
    """The names of the tensors that take the base's place.

    Raises AdapterError by the key where PEFT would save a module that the file does not hold.
    """
    modules = _named(foreign, shape, every=True)
    if config.saves(""):
        raise config.refusal("modules_to_save", "it means the whole model")
    saved = [name for name in modules if config.saves(name)]
    for name in saved:
        inside = [other for other in (*saved, *foreign.layers) if f"{other}.".startswith(f"{name}.")]
        if other := next((other for other in inside if other != name or other in foreign.layers), None):
            raise config.refusal(
                "modules_to_save", f"it means {name!r}, and with it {other!r}, which is one too many"
            )
    names = {f"{name}.{key}" for name in saved for key in modules[name].state_dict()}
    if missing := sorted(names - foreign.others.keys()):
        raise config.refusal("modules_to_save", f"the file does not hold {missing[0]!r}")
    if config.trains_biases:
        names |= {name for name in foreign.others if name.endswith(".bias")}
    return frozenset(names)


def token_rows(config: PeftConfig, foreign: Foreign, shape: Model) -> frozenset[str]:
    """The names of the rows of added tokens.

    Raises AdapterError where they are not the tokens that the task adds, or not in the same tables.
    """
    added, rows = planned_tokens(shape.net.config), names_of_added_rows(shape.net)
    held = {name for name in foreign.others if name.endswith(".rows")} - _repeated_rows(foreign, shape, rows)
    if not (config.token_rows or rows or held):
        return rows
    key = "trainable_token_indices"
    if added is None:
        raise config.refusal(
            key,
            "has no counterpart in lorafit, unless they are the tokens that a chat template adds",
            SetArgument("template", note="the one whose tokens they are"),
        )
    ids = list(range(added.first, added.end))
    if held != rows or {tuple(given) for given in config.token_rows.values()} != {tuple(ids)}:
        raise config.refusal(
            key,
            f"the template adds {ids} ({' and '.join(added.tokens)}, which this base lacks) as "
            f"{' and '.join(sorted(rows))}, and the file holds {' and '.join(sorted(held)) or 'no rows'}",
        )
    return rows


def _repeated_rows(foreign: Foreign, shape: Model, rows: frozenset[str]) -> set[str]:
    """The names under which the file holds the rows of a tied head once more."""
    again = {f"{table}.rows" for table, _ in tables_with_rows(shape.net)} - rows
    return {
        name
        for name in again & foreign.others.keys()
        if any(
            torch.equal(foreign.others[name], foreign.others[other]) for other in rows & foreign.others.keys()
        )
    }


def with_residual(config: PeftConfig, foreign: Foreign, base: BaseTensors) -> dict[str, dict[str, Tensor]]:
    """The adapters as adapters of the base itself, where PEFT changes the base (see `peft_inits`)."""
    if config.init not in STARTS:
        return foreign.layers
    modules = _named(foreign, base.shape)
    layers = {}
    for name, factors in foreign.layers.items():
        layers[name] = factors
        if isinstance(modules[name], nn.Embedding):  # PEFT starts these as ever
            continue
        weight = base.find(f"{name}.weight")
        if weight is None:
            raise AdapterError(
                f"{foreign.path}: init_lora_weights = {config.init!r} changes the base, and the weights of {base.base} "
                f"are not here to do the same",
                SetArgument("base", note="a folder with its weights"),
            )
        weight = weight.float() if isinstance(modules[name], nn.Linear) else weight.float().T
        a, b = on_the_base(config.init, weight, foreign.scales[name], factors["A"], factors["B"])
        layers[name] = {"A": a, "B": b}
    return layers


def _no_start(config: PeftConfig, module: nn.Module, rank: int) -> str | None:
    """Why PEFT cannot make an adapter of a module by the init, or makes a wrong one; None where it can."""
    if config.init in ("", "gaussian") or isinstance(module, nn.Embedding):
        return None
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return "PEFT has no such init for convolutions"
    if config.init == "orthogonal" and rank % 2:
        return f"PEFT has no such init of an odd rank, {rank}"
    if config.init == "olora" and not isinstance(module, nn.Linear):
        return "PEFT takes its weight the wrong way round, so that the start is not the base"
    weight = module.get_parameter("weight")
    return f"its weight {list(weight.shape)} has no rank {rank}" if rank > min(weight.shape) else None


def _modules(shape: Model, every: bool = False) -> dict[str, nn.Module]:
    """By name, but for the net itself; with `every`, a shared one under each of its names."""
    return {name: m for name, m in shape.net.named_modules(remove_duplicate=not every) if name}


def _named(foreign: Foreign, shape: Model, every: bool = False) -> dict[str, nn.Module]:
    """The modules under the names that they had for PEFT: an adapter of a bare backbone does not name that."""
    modules, prefix = _modules(shape, every), f"{shape.family.backbone}."
    if any(name in modules for name in foreign.layers):
        return modules
    return {n.removeprefix(prefix): m for n, m in modules.items() if n.startswith(prefix)}
