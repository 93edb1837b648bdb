"""The paper's tasks as values for `[task]` and `[data]`: E2E, DART, WebNLG, and the nine of GLUE (Wang et al. 2019).

Labels of GLUE in the order of the hub's `nyu-mll/glue`; sizes are those of the training splits. To add a preset, write
its value into PRESETS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lorafit.data.glue import GlueFiles
from lorafit.data.originals import DART_FILES, E2E_FILES, WEBNLG_FILES, PaperFiles
from lorafit.data.places import Layout


@dataclass(frozen=True)
class Submission:
    """What gluebenchmark.com takes: a file for each part of the test split, with names, indices or scores in it."""

    files: Mapping[str, str]  # part -> file name
    names: bool = False  # classes by name, not by index
    range: tuple[float, float] | None = None  # of scores


@dataclass(frozen=True)
class Size:
    """Of the original data, for planning without it: training rows, and tokens of a typical example.

    Lengths of texts are means of prompt and completion over the valid and test files, those of GLUE are estimates.
    """

    num_train_rows: int
    example_length: int


@dataclass(frozen=True)
class Preset:
    """Values of `[task]` and `[data]`, which a recipe's own keys override, and where the original data are."""

    kind: str  # in TASKS
    task: Mapping[str, Any]
    layout: Layout
    size: Size
    data: Mapping[str, Any] = field(default_factory=dict)
    original: PaperFiles | None = None  # to be fetched
    submission: Submission | None = None


def _paper(files: PaperFiles, size: Size, scorer: str, headline: str) -> Preset:
    """A task of Table 3, as examples/NLG of the paper's repository reads, writes and scores it."""
    task = {
        "prompt": "prompt",
        "completion": "completion",
        "scorer": scorer,
        "headline": headline,
        "separator": "eos",
        "completion_prefix": " ",
        "stop_text": "\n\n",
        "score_on": "test",
    }
    return Preset("generation", task, files, size, {"format": files.name}, files)


def _classes(
    layout: GlueFiles,
    size: Size,
    texts: tuple[str, ...],
    labels: tuple[str, ...],
    metrics: tuple[str, ...] = ("accuracy",),
    *,
    headline: str | None = None,
    submission: Submission,
    **data: Any,
) -> Preset:
    """A classification of GLUE. Labels are names or indices; those of the test split are not public."""
    task = {
        "text": texts if len(texts) > 1 else texts[0],
        "label": "label",
        "labels": labels,
        "label_values": "indices",
        "metrics": metrics,
        "headline": headline or metrics[0],
        "score_on": "valid",
    }
    return Preset("classification", task, layout, size, data, submission=submission)


_PAIR = ("sentence1", "sentence2")

PRESETS: dict[str, Preset] = {
    "e2e": _paper(E2E_FILES, Size(42_061, 62), "e2e-metrics", "bleu"),
    "dart": _paper(DART_FILES, Size(62_659, 70), "generation-eval", "bleu"),
    "webnlg": _paper(WEBNLG_FILES, Size(18_025, 79), "generation-eval", "all.bleu"),
    "cola": _classes(
        GlueFiles("cola", "CoLA"),
        Size(8_551, 12),
        ("sentence",),
        ("unacceptable", "acceptable"),
        ("matthews", "accuracy"),
        submission=Submission({"": "CoLA.tsv"}),
        columns=("source", "label", "star", "sentence"),
    ),
    "sst2": _classes(
        GlueFiles("sst2", "SST-2"),
        Size(67_349, 14),
        ("sentence",),
        ("negative", "positive"),
        submission=Submission({"": "SST-2.tsv"}),
    ),
    "mrpc": _classes(
        GlueFiles("mrpc", "MRPC"),
        Size(3_668, 54),
        _PAIR,
        ("not_equivalent", "equivalent"),
        ("accuracy", "f1"),
        submission=Submission({"": "MRPC.tsv"}),
        rename={"#1 String": "sentence1", "#2 String": "sentence2", "Quality": "label"},
    ),
    "stsb": Preset(
        "regression",
        {
            "text": _PAIR,
            "label": "label",
            "range": (0.0, 5.0),
            "metrics": ("pearson", "spearman"),
            "headline": "pearson",
            "score_on": "valid",
        },
        GlueFiles("stsb", "STS-B"),
        Size(5_749, 32),
        {"rename": {"score": "label"}},
        submission=Submission({"": "STS-B.tsv"}, range=(0.0, 5.0)),
    ),
    "qqp": _classes(
        GlueFiles("qqp", "QQP"),
        Size(363_846, 31),
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        ("accuracy", "f1"),
        submission=Submission({"": "QQP.tsv"}),
        rename={"is_duplicate": "label"},
    ),
    "mnli": _classes(
        GlueFiles("mnli", "MNLI", ("matched", "mismatched")),
        Size(392_702, 41),
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        headline="matched.accuracy",
        submission=Submission({"matched": "MNLI-m.tsv", "mismatched": "MNLI-mm.tsv"}, names=True),
        rename={"sentence1": "premise", "sentence2": "hypothesis", "gold_label": "label"},
    ),
    "qnli": _classes(
        GlueFiles("qnli", "QNLI"),
        Size(104_743, 52),
        ("question", "sentence"),
        ("entailment", "not_entailment"),
        submission=Submission({"": "QNLI.tsv"}, names=True),
    ),
    "rte": _classes(
        GlueFiles("rte", "RTE"),
        Size(2_490, 72),
        _PAIR,
        ("entailment", "not_entailment"),
        submission=Submission({"": "RTE.tsv"}, names=True),
    ),
    "wnli": _classes(
        GlueFiles("wnli", "WNLI"),
        Size(635, 38),
        _PAIR,
        ("not_entailment", "entailment"),
        submission=Submission({"": "WNLI.tsv"}),
    ),
}
