"""The metrics by name: to add one, write its file, and its value into METRICS."""

from __future__ import annotations

from lorafit.errors import RecipeError, did_you_mean
from lorafit.metrics.bleu import Bleu
from lorafit.metrics.chrf import ChrF
from lorafit.metrics.cider import Cider
from lorafit.metrics.external import External, is_external
from lorafit.metrics.labels import F1, Accuracy, Matthews, Pearson, Spearman
from lorafit.metrics.meteor import Meteor
from lorafit.metrics.nist import Nist
from lorafit.metrics.rouge import RougeL
from lorafit.metrics.score import Kind, Metric
from lorafit.metrics.ter import Ter, Tercom

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Accuracy("accuracy"),
        F1("f1"),
        Matthews("matthews"),
        Pearson("pearson"),
        Spearman("spearman"),
        Bleu("e2e_bleu", lowercase=True),  # mteval-v13a
        Bleu(
            "multi_bleu", tokenize="none", lowercase=True, empty_reference="length-0"
        ),  # multi-bleu.perl -lc
        Bleu("multi_bleu_detok", empty_reference="length-0"),  # multi-bleu-detok.perl
        Nist("nist"),
        Meteor("meteor"),
        Meteor("meteor_ptb", ptb=True),
        RougeL("rouge_l"),
        Cider("cider"),
        Ter("ter"),
        Tercom("tercom"),
        ChrF("chrf"),
    )
}


def find_metric(name: str, kind: Kind) -> Metric:
    """The metric of that name: of `METRICS`, or of evaluate ("evaluate:bertscore", "my/metric.py").

    Raises:
        RecipeError: there is none, or it compares something else than `kind`.
    """
    if is_external(name):
        return External(name, kind)
    if name not in METRICS:
        raise RecipeError(
            f"no metric {name!r}{did_you_mean(name, METRICS)}; there are {', '.join(METRICS)}, "
            "'evaluate:NAME' and the path of a metric script (.py)"
        )
    if METRICS[name].kind != kind:
        raise RecipeError(
            f"metric {name!r} compares {METRICS[name].kind}s, and the task's predictions are {kind}s"
        )
    return METRICS[name]
