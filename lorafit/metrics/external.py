"""Further metrics through the evaluate library: by name from the hub, or from a local metric script."""

from __future__ import annotations

import importlib.metadata
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

from lorafit.errors import NotFoundError, reason_of
from lorafit.metrics.score import Metric, Score, present

_PREFIX = "evaluate:"
_OPTIONS: dict[str, dict[str, str]] = {
    "bertscore": {"lang": "en"}
}  # what a metric of that name cannot do without


def is_external(name: str) -> bool:
    """Whether a metric's name is "evaluate:NAME" or the path of a script."""
    return name.startswith(_PREFIX) or name.endswith(".py")


class EvaluateModule(Protocol):
    """What this file uses of a metric of the evaluate library."""

    @property
    def features(self) -> Mapping[str, object] | list[Mapping[str, object]]: ...
    def compute(self, **arguments: object) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class External(Metric[Any, Any]):
    """Whatever a metric of the evaluate library gives.

    A number becomes a score, a list of numbers its mean, called by the metric's own name where there is but
    one or where the metric calls it so, else "bertscore_f1". Naming a metric means running its script.
    """

    keys: tuple[str, ...] = ()  # known only when computed

    @property
    def short_name(self) -> str:
        """ "evaluate:bertscore" -> "bertscore", "my/metric.py" -> "metric"."""
        return Path(self.name.removeprefix(_PREFIX)).stem

    @property
    def _is_script(self) -> bool:
        return not self.name.startswith(_PREFIX)

    def unavailable(self) -> str | None:
        """Whether a local script is there; of a name only the hub knows."""
        if self._is_script and not Path(self.name).is_file():
            return f"no metric script {self.name}"
        return None

    def compute(self, predictions: Sequence[Any], references: Sequence[Any]) -> list[Score]:
        """A score for every number that the metric gives. Raises what `load` raises."""
        module = self.load()
        signature = f"evaluate:{self.short_name}|version:{importlib.metadata.version('evaluate')}"
        targets: Sequence[Any] = references
        if self.kind == "text":
            targets = [present(group) for group in references]
            if not _takes_groups(module):
                targets, signature = [group[0] for group in targets], f"{signature}|refs:first"
        try:
            options = _OPTIONS.get(self.short_name, {})
            results = module.compute(predictions=list(predictions), references=list(targets), **options)
        except Exception as fault:  # a stranger's script may raise anything
            reason = f"{self.name} failed: {_reason(fault)}"
            return [Score(self.short_name, None, signature, reason)]
        return [
            Score(name, value, signature)
            if math.isfinite(value)
            else Score(name, None, signature, f"{self.name} gives {value}")
            for name, value in self._figures(results).items()
        ]

    def load(self) -> EvaluateModule:
        """The metric's module. Worth a try before a long decoding begins.

        Raises:
            NotFoundError: the script is not there, not to be had without a network, or does not work.
        """
        if reason := self.unavailable():
            raise NotFoundError(reason)
        import evaluate

        path = str(Path(self.name).resolve()) if self._is_script else self.name.removeprefix(_PREFIX)
        try:
            module: EvaluateModule = evaluate.load(path, keep_in_memory=True)
        except Exception as fault:  # offline, misspelt, a script's missing import, a broken script
            hint = "" if self._is_script else "; without a network, give the path of a local script (.py)"
            raise NotFoundError(f"metric {self.name!r} cannot be loaded ({_reason(fault)}){hint}") from fault
        return module

    def _figures(self, results: Mapping[str, Any]) -> dict[str, float]:
        figures: dict[str, float] = {}
        for key, value in results.items():
            numbers = list(value) if isinstance(value, (list, tuple)) else [value]
            if numbers and all(isinstance(number, Real) for number in numbers):
                figures[key] = float(sum(numbers)) / len(numbers)
        alone = len(figures) == 1
        return {
            self.short_name if alone or key == self.short_name else f"{self.short_name}_{key}": value
            for key, value in figures.items()
        }


def _takes_groups(module: EvaluateModule) -> bool:
    """Whether the metric compares a text with several references."""
    from datasets import Value

    options = module.features if isinstance(module.features, list) else [module.features]
    return any(not isinstance(option["references"], Value) for option in options)


def _reason(fault: Exception) -> str:
    """Its kind and its reason, or the packages that are not there."""
    if packages := re.search(r"pip install ((?:[\w.-]+ ?)+)", str(fault)):
        return f"it needs packages that are not here: {packages[1].strip()}"
    kind, reason = type(fault).__name__, reason_of(fault)
    return kind if reason == kind else f"{kind}: {reason}"
