"""Area under the ROC curve, 0 to 1; 0.5 is chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.labels.averaged_f1 import Decision
from lorafit.metrics.score import Kind, Metric, Reads, Score


@dataclass(frozen=True)
class RocAuc(Metric[Sequence[float], Decision]):
    """How well probabilities tell the examples with a label from those without it.

    Of two labels it is that of the second; of more, the mean over the labels, each against the rest (Fawcett 2006).
    """

    name: str = "roc_auc"
    kind: Kind = "label"
    also: tuple[Kind, ...] = ("labels",)
    keys: tuple[str, ...] = ("roc_auc",)
    reads: Reads = "evidence"

    def compute(self, predictions: Sequence[Sequence[float]], references: Sequence[Decision]) -> list[Score]:
        """One score, "roc_auc"; its value is None where every example has the same labels."""
        import numpy as np
        from sklearn import __version__
        from sklearn.metrics import roc_auc_score

        probabilities, right = np.asarray(predictions), np.asarray(references)
        num_labels = probabilities.shape[1]
        average = "macro" if right.ndim == 2 or num_labels > 2 else "none"
        signature = f"sklearn:roc_auc_score|average:{average}|version:{__version__}"
        has = right.astype(bool) if right.ndim == 2 else right[:, None] == np.arange(num_labels)
        places = range(num_labels) if average == "macro" else [1]
        values = [
            float(roc_auc_score(has[:, i], probabilities[:, i]))
            for i in places
            if has[:, i].any() and not has[:, i].all()
        ]
        if not values:
            return [Score("roc_auc", None, signature, "all references are the same")]
        if len(values) < len(places):
            signature += f"|labels:{len(values)} of {len(places)}"
        return [Score("roc_auc", sum(values) / len(values), signature)]
