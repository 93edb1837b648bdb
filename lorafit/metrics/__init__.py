"""Scores of predictions against references: one file a metric, and `METRICS` to find them by name.

Official scorers compute the same name in different ways: each way is an entry of its own, and `scorers.SCORERS` says
which ones a scorer takes. To add a metric, write its file, and its value into METRICS. Heavy libraries are imported
when a metric is computed.
"""

from __future__ import annotations

from typing import Any

from lorafit.metrics.labels.accuracy import Accuracy
from lorafit.metrics.labels.correlation import Pearson, Spearman
from lorafit.metrics.labels.f1 import F1
from lorafit.metrics.labels.mae import MeanAbsoluteError
from lorafit.metrics.labels.matthews import Matthews
from lorafit.metrics.perplexity import Likelihood, Perplexity
from lorafit.metrics.score import Kind, Metric, Score, TextMetric
from lorafit.metrics.text.bleu import Bleu
from lorafit.metrics.text.chrf import ChrF
from lorafit.metrics.text.cider import Cider
from lorafit.metrics.text.exact_match import ExactMatch
from lorafit.metrics.text.meteor import Meteor
from lorafit.metrics.text.nist import Nist
from lorafit.metrics.text.rouge import RougeL
from lorafit.metrics.text.ter import Ter
from lorafit.metrics.text.tercom import Tercom

METRICS: dict[str, Metric[Any, Any]] = {
    metric.name: metric
    for metric in (
        Accuracy(),
        F1(),
        Matthews(),
        Pearson(),
        Spearman(),
        MeanAbsoluteError(),
        Bleu("bleu"),  # sacrebleu's own
        Bleu("e2e_bleu", lowercase=True),  # mteval-v13a
        Bleu(
            "multi_bleu", tokenize="none", lowercase=True, empty_reference="length-0"
        ),  # multi-bleu.perl -lc
        Bleu("multi_bleu_detok", empty_reference="length-0"),  # multi-bleu-detok.perl
        Nist(),
        Meteor("meteor"),
        Meteor("meteor_ptb", ptb=True),
        RougeL(),
        Cider(),
        Ter(),
        Tercom(),
        ChrF(),
        ExactMatch(),
        Perplexity(),
    )
}

__all__ = ["METRICS", "Kind", "Likelihood", "Metric", "Score", "TextMetric"]
