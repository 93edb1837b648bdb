"""LoRA adapters -> the figures of the paper's section 7, as CSV and, where matplotlib is there, as PNG."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from lorafit import lora
from lorafit.adapters import Adapter, BaseChoice, read_adapter, restore
from lorafit.adapters.restore import method_of
from lorafit.errors import Advice, RecipeError, SetArgument
from lorafit.files import write_bytes, write_text
from lorafit.lora.subspace import Amplification, Matrix, amplification, similarity
from lorafit.models import LOGICAL_TARGETS

NO_PLOTS = "no figures, since matplotlib is not installed (pip install 'lorafit[plots]'); the CSV files hold everything"


@dataclass(frozen=True)
class PairResult:
    """Similarity of two adapters: [i, j] averaged over all modules, and for each module."""

    a: Path
    b: Path
    mean: Matrix
    modules: Mapping[str, Matrix]


@dataclass(frozen=True)
class AnalyzeResult:
    """What was found, and the files that hold it. `amplified` is by adapter and module."""

    pairs: tuple[PairResult, ...]
    amplified: Mapping[Path, Mapping[str, Amplification]]
    files: tuple[Path, ...]
    note: str = ""


def analyze(
    folders: Sequence[Path], output: Path, base: BaseChoice, *, amplification: bool, max_directions: int
) -> AnalyzeResult:
    """Similarity of every two adapters; with `amplification` also how much each amplifies directions of its base.

    At most `max_directions` of an adapter are compared. Raises RecipeError for an adapter that is not LoRA, for two
    that adapt no module in common, and for a single adapter without `amplification`.
    """
    if len(folders) < 2 and not amplification:
        raise RecipeError(
            "analyze: there is only one adapter, and nothing to compare it with",
            Advice("name a second one"),
            SetArgument("amplification", True),
        )
    adapters = [_read(folder) for folder in folders]
    pairs = tuple(_pair(a, b, max_directions) for a, b in combinations(adapters, 2))
    amplified = {a.folder: _amplified(a, base) for a in adapters} if amplification else {}
    files = []
    if pairs:
        files.append(_write_csv(output / "similarity.csv", _SIMILARITY, _similarity_rows(pairs)))
    if amplified:
        files.append(_write_csv(output / "amplification.csv", _AMPLIFICATION, _amplification_rows(amplified)))
    if importlib.util.find_spec("matplotlib") is None:
        return AnalyzeResult(pairs, amplified, tuple(files), NO_PLOTS)
    files += _draw(pairs, output)
    return AnalyzeResult(pairs, amplified, tuple(files))


def _read(folder: Path) -> Adapter:
    adapter = read_adapter(folder)
    method = method_of(adapter)
    if not method.low_rank:
        raise RecipeError(f"{folder}: its method is {method.name!r}; only LoRA has subspaces to compare")
    return adapter


# ---- similarity


def _blocks(adapter: Adapter) -> dict[str, Matrix]:
    """A [r, in] of every adapted matrix; a module that holds query and value side by side has two."""
    targets = [t for t in LOGICAL_TARGETS if t in adapter.card.method.get("targets", ())]
    blocks = {}
    for module, (lora_a, lora_b) in lora.factors(adapter.tensors).items():
        parts = lora_a.float().numpy().reshape(-1, lora_b.shape[1], lora_a.shape[-1])
        names = targets if len(targets) == len(parts) else [str(i) for i in range(len(parts))]
        for part, target in zip(parts, names, strict=True):
            blocks[module if len(parts) == 1 else f"{module}[{target}]"] = part
    return blocks


def _pair(a: Adapter, b: Adapter, max_directions: int) -> PairResult:
    ours, theirs = _blocks(a), _blocks(b)
    common = [name for name in ours if name in theirs and ours[name].shape[1] == theirs[name].shape[1]]
    if not common:
        raise RecipeError(f"{a.folder} and {b.folder}: adapt no module in common")
    modules = {name: similarity(ours[name], theirs[name], max_directions) for name in common}
    mean = np.mean(list(modules.values()), axis=0)
    return PairResult(a.folder, b.folder, mean, modules)


# ---- amplification


def _amplified(adapter: Adapter, base: BaseChoice) -> dict[str, Amplification]:
    model = restore(adapter, base=base.base, force=base.force)
    targets = [t for t in LOGICAL_TARGETS if t in adapter.card.method.get("targets", ())]
    found = {}
    for name, layer in model.net.named_modules():
        geometry = getattr(layer, "geometry", None)
        if not isinstance(layer, lora.LoRALayer) or geometry is None or not layer.has_adapter:
            continue
        weight, delta = layer.weight.detach().float(), layer.delta_weight().detach().float()
        if geometry.fan_in_fan_out:
            weight, delta = weight.T, delta.T
        slices = zip(weight.chunk(len(geometry.enabled)), delta.chunk(len(geometry.enabled)), strict=True)
        adapted = [pair for pair, on in zip(slices, geometry.enabled, strict=True) if on]
        names = targets if len(targets) == len(adapted) else [str(i) for i in range(len(adapted))]
        for (w, d), target in zip(adapted, names, strict=True):
            key = name if len(geometry.enabled) == 1 else f"{name}[{target}]"
            found[key] = amplification(w.numpy(), d.numpy(), layer.r)
    return found


# ---- files

_SIMILARITY = ("a", "b", "module", "i", "j", "similarity")
_AMPLIFICATION = (
    "adapter",
    "module",
    "norm_delta",
    "norm_base",
    "through_delta",
    "through_base",
    "through_random",
    "factor",
)


def _similarity_rows(pairs: Sequence[PairResult]) -> list[tuple[Any, ...]]:
    return [
        (pair.a, pair.b, module, i + 1, j + 1, f"{value:.6f}")
        for pair in pairs
        for module, grid in {"mean": pair.mean, **pair.modules}.items()
        for (i, j), value in np.ndenumerate(grid)
    ]


def _amplification_rows(amplified: Mapping[Path, Mapping[str, Amplification]]) -> list[tuple[Any, ...]]:
    return [
        (folder, module, *(f"{getattr(found, key):.6g}" for key in _AMPLIFICATION[2:]))
        for folder, modules in amplified.items()
        for module, found in modules.items()
    ]


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, stream.getvalue())
    return path


def _draw(pairs: Sequence[PairResult], output: Path) -> list[Path]:
    """A heat map for each pair, as Figures 3 and 4 of the paper."""
    from matplotlib.figure import Figure

    files = []
    for number, pair in enumerate(pairs, start=1):
        figure = Figure(figsize=(6, 5), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(pair.mean, vmin=0, vmax=1, aspect="auto", origin="lower")
        axes.set(ylabel=f"i: {pair.a}", xlabel=f"j: {pair.b}", title="subspace similarity, mean over modules")
        figure.colorbar(image)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=150)
        files.append(output / f"similarity-{number}.png")
        write_bytes(files[-1], stream.getvalue())
    return files
